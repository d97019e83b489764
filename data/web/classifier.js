/** The classifier: features of a text, forward pass, and the exact share of each word, as in mlcore/sentiment. */

const MAX_COMPARED = 50_000; // most frequent words that are searched for similar spellings

/** The features of texts, from what pages have, and from the JSON file beside an ONNX file. */
class Features {
  /** @param {Vocabulary} model */
  constructor(model) {
    this.vocabulary = model;
    this.tokenizer = new Tokenizer(model.characters, model.entities);
    this.words = new Map(model.words.map((word, id) => [word, id]));
    this.pairs = new Map(model.pairs.map(([before, word], i) => [this.pairKey(before, word), this.words.size + i]));
    const firstPiece = this.words.size + this.pairs.size;
    this.pieces = new Map(model.pieces.map((piece, number) => [piece, firstPiece + number]));
  }

  /** @param {number} before @param {number} word */
  pairKey(before, word) {
    return before * this.words.size + word;
  }

  /** Known n-grams of characters of a word, which are not the whole word. @param {string} word */
  piecesOf(word) {
    const [smallest, largest] = this.vocabulary.sizes;
    const characters = ["<", ...word, ">"];
    const found = [];
    for (let start = 0; start < characters.length && largest; start++) {
      for (let size = smallest; size <= Math.min(largest, characters.length - 1); size++) {
        if (start + size > characters.length) break;
        const id = this.pieces.get(characters.slice(start, start + size).join(""));
        if (id !== undefined) found.push(id);
      }
    }
    return found;
  }

  /** Known features, each as often as it occurs. @param {string[]} tokens */
  occurrences(tokens) {
    const found = /** @type {Occurrence[]} */ ([]);
    let before = /** @type {(number | undefined)[]} */ ([]); // features of 1, 2, ... words that end at the token before
    tokens.forEach((token, t) => {
      const word = this.words.get(token);
      const ending = [word];
      for (let size = 2; size <= this.vocabulary.ngrams && word !== undefined; size++) {
        const start = before[size - 2];
        ending.push(start === undefined ? undefined : this.pairs.get(this.pairKey(start, word)));
      }
      ending.forEach((id, more) => id !== undefined && found.push({ id, first: t - more, last: t }));
      this.piecesOf(token).forEach((id) => found.push({ id, first: t, last: t }));
      before = ending;
    });
    return found;
  }

  /** How often each feature counts. @param {Occurrence[]} occurrences */
  counts(occurrences) {
    const counts = /** @type {Map<number, number>} */ (new Map());
    for (const { id } of occurrences) counts.set(id, this.vocabulary.binary ? 1 : (counts.get(id) ?? 0) + 1);
    return counts;
  }
}

class Classifier extends Features {
  /** @param {Model} model */
  constructor(model) {
    super(model);
    this.model = model;
    const { table, ...others } = model.parameters;
    const [W1, b1, W2, b2] = [others.W1, others.b1, others.W2, others.b2].map((one) => new Float32Array(bytes(one)));
    const step = model.step ?? 0;
    if (step) this.table = Float32Array.from(new Int8Array(bytes(table)), (level) => level * step);
    else this.table = model.float16 ? halves(bytes(table)) : new Float32Array(bytes(table));
    this.parameters = { W1: rows(W1, b1.length), b1, W2: rows(W2, b2.length), b2 };
  }

  /** @param {number} id */
  embedding(id) {
    return this.table.subarray(id * this.model.dim, (id + 1) * this.model.dim);
  }

  /** @param {Occurrence[]} occurrences */
  forward(occurrences) {
    const counts = this.counts(occurrences);
    const { W1, b1, W2, b2 } = this.parameters;
    let total = 0;
    counts.forEach((count) => (total += count));
    const E = Array(this.model.dim).fill(0);
    counts.forEach((count, id) => this.embedding(id).forEach((value, i) => (E[i] += (count / total) * value)));
    const z = affine(W1, E, b1);
    const h = z.map((value) => Math.max(0, value));
    return { z, logits: affine(W2, h, b2), counts, total };
  }

  /** @param {number[]} logits of a text */
  probabilities(logits) {
    if (this.model.multiLabel) return logits.map(sigmoid);
    if (this.model.labels.length === 2) return [sigmoid(-logits[0]), sigmoid(logits[0])];
    return this.model.labels.length ? softmax(logits) : [];
  }

  /** @param {string[]} tokens @returns {Prediction} */
  predict(tokens) {
    const { logits } = this.forward(this.occurrences(tokens));
    const probabilities = this.probabilities(logits);
    let chosen = probabilities.length ? [probabilities.indexOf(Math.max(...probabilities))] : [];
    let confidence = Math.max(...probabilities);
    if (this.model.multiLabel) {
      const decided = probabilities.map((p, label) => p > this.model.thresholds[label]);
      chosen = [...decided.keys()].filter((label) => decided[label]);
      confidence = Math.min(...probabilities.map((p, label) => (decided[label] ? p : 1 - p)));
    }
    const [low, high] = this.model.seen ?? [-Infinity, Infinity];
    const rating = Math.min(Math.max(logits[0], low), high);
    const known = tokens.filter((token) => this.words.has(token)).length;
    return { chosen, confidence, probabilities, rating, known, all: tokens.length };
  }

  /** Parts of the logit of a label: constant + contributions = logit. @param {string[]} tokens @param {number} label */
  explain(tokens, label) {
    const { labels, multiLabel } = this.model;
    const occurrences = this.occurrences(tokens);
    const { z, logits, counts, total } = this.forward(occurrences);
    const others = [...logits.keys()].filter((other) => other !== label && !multiLabel && logits.length > 1);
    const against = others.sort((a, b) => logits[b] - logits[a])[0]; // the best of them, if there are others
    const weights = logits.map((_, k) => Number(k === label) - Number(k === against)); // of what is explained
    if (logits.length === 1) weights[0] = labels.length === 2 && label === 0 ? -1 : 1;
    const { W1, b1, W2, b2 } = this.parameters;
    const delta = affineBackward(W2, weights).map((value, unit) => (z[unit] > 0 ? value : 0));
    const back = affineBackward(W1, delta);
    const times = /** @type {Map<number, number>} */ (new Map()); // that each feature occurs
    for (const { id } of occurrences) times.set(id, (times.get(id) ?? 0) + 1);
    const words = tokens.map(() => 0);
    const features = /** @type {Map<string, Feature>} */ (new Map());
    const counted = new Set(); // unknown words, which count where they have n-grams of characters
    for (const { id, first, last } of occurrences) {
      const share = (counts.get(id) ?? 0) / total / (times.get(id) ?? 1);
      const contribution = share * dot(back, this.embedding(id));
      const isPiece = id >= this.words.size + this.pairs.size;
      const name = tokens.slice(first, last + 1).join(" ");
      const feature = features.get(name) ?? { name, count: 0, contribution: 0, isWord: first === last };
      if (!isPiece || (!this.words.has(name) && !counted.has(first))) feature.count += 1;
      if (isPiece) counted.add(first);
      feature.contribution += contribution;
      features.set(name, feature);
      for (let t = first; t <= last; t++) words[t] += contribution / (last + 1 - first);
    }
    const logit = dot(weights, logits);
    return {
      output: labels[label] ?? null,
      against: labels[against] ?? null,
      logit,
      constant: dot(delta, b1) + dot(weights, b2),
      features: [...features.values()].sort((a, b) => Math.abs(b.contribution) - Math.abs(a.contribution)),
      words,
      change: (/** @type {string} */ word) => {
        const others = this.occurrences(tokens.filter((token) => token !== word));
        return dot(weights, this.forward(others).logits) - logit;
      },
    };
  }

  /** The known word that is spelled most like this one, the more frequent one on ties; null if none is similar. @param {string} word */
  nearestSpelling(word) {
    let [nearest, most] = [/** @type {string | null} */ (null), word.length < 5 ? 1 : 2];
    for (const known of this.model.words.slice(0, MAX_COMPARED)) {
      if (Math.abs(known.length - word.length) > most || known.length < 3) continue;
      const distance = editDistance(word, known);
      if (distance < most || (distance === most && !nearest)) [nearest, most] = [known, distance];
    }
    return nearest;
  }
}

/** Insertions, deletions, replacements and exchanges of neighbours between words. @param {string} a @param {string} b */
function editDistance(a, b) {
  let [before, last, row] = [[0], [0], Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    [before, last, row] = [last, row, [i]];
    for (let j = 1; j <= b.length; j++) {
      const replaced = last[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      row[j] = Math.min(last[j] + 1, row[j - 1] + 1, replaced);
      const exchanged = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (exchanged) row[j] = Math.min(row[j], before[j - 2] + 1);
    }
  }
  return row[b.length];
}

/** @param {string} base64 */
function bytes(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)).buffer;
}

/** A matrix of so many rows. @param {Float32Array} values @param {number} count */
function rows(values, count) {
  const width = values.length / count;
  return Array.from({ length: count }, (_, row) => values.subarray(row * width, (row + 1) * width));
}

/** Numbers of 16 bits, as IEEE 754 has them. @param {ArrayBuffer} buffer */
function halves(buffer) {
  return Float32Array.from(new Uint16Array(buffer), (bits) => {
    const [exponent, fraction] = [(bits >> 10) & 0x1f, bits & 0x3ff];
    const size = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24;
    return bits & 0x8000 ? -size : size;
  });
}
