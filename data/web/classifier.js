/** The classifier: features of a text, forward pass, and the exact share of each word, as in mlcore/sentiment. */

const MAX_COMPARED = 50_000; // most frequent words that are searched for similar spellings

/**
 * A model as mlcore/sentiment/page.py writes it; arrays are in base64.
 * @typedef {object} Model
 * @property {Alike[]} characters
 * @property {Record<string, string>} entities
 * @property {string[]} labels of two the positive one is last; none: it predicts ratings
 * @property {boolean} multiLabel
 * @property {number[]} thresholds where texts may have several labels
 * @property {[number, number] | null} seen lowest and highest rating of the training texts
 * @property {string[]} words
 * @property {string[]} pieces n-grams of characters
 * @property {[number, number]} sizes of these, from the smallest to the largest; the largest is 0 if there are none
 * @property {number} ngrams words of the longest n-grams
 * @property {boolean} binary whether each feature counts once
 * @property {string} pairs (m, 2) int32: an n-gram without its last word, and this word
 * @property {number} dim
 * @property {boolean} float16 whether the table is
 * @property {Record<"table" | "W1" | "b1" | "W2" | "b2", string>} parameters
 */

/** @typedef {{id: number, first: number, last: number}} Occurrence a feature, and the tokens that it is made of */
/** @typedef {{z: number[], logits: number[], counts: Map<number, number>, total: number}} Pass */

/**
 * @typedef {object} Prediction
 * @property {number[]} chosen numbers of the labels
 * @property {number} confidence probability of the label; of several, that of the least certain decision
 * @property {number[]} probabilities of all labels
 * @property {number} rating where there are no labels
 * @property {number} known tokens that the model knows
 * @property {number} all tokens
 */

/**
 * The parts of a logit: constant + contributions = logit.
 * @typedef {object} Explanation
 * @property {string | null} output the label that is explained
 * @property {string | null} against the best other label, where there are more than two
 * @property {number} logit
 * @property {number} constant
 * @property {{name: string, count: number, contribution: number, isWord: boolean}[]} features the strongest first
 * @property {number[]} words contribution of each token
 * @property {(word: string) => number} change of the logit without a word
 */

class Classifier {
  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    this.tokenizer = new Tokenizer(model.characters, model.entities);
    this.words = new Map(model.words.map((word, id) => [word, id]));
    const pairs = new Int32Array(bytes(model.pairs));
    const firstPiece = this.words.size + pairs.length / 2;
    /** @type {Map<number, number>} */
    this.pairs = new Map();
    for (let i = 0; i < pairs.length; i += 2) {
      this.pairs.set(this.pairKey(pairs[i], pairs[i + 1]), this.words.size + i / 2);
    }
    this.pieces = new Map(model.pieces.map((piece, number) => [piece, firstPiece + number]));
    const { table, W1, b1, W2, b2 } = model.parameters;
    this.table = model.float16 ? halves(bytes(table)) : new Float32Array(bytes(table));
    this.b1 = new Float32Array(bytes(b1));
    this.b2 = new Float32Array(bytes(b2));
    this.W1 = rows(new Float32Array(bytes(W1)), this.b1.length);
    this.W2 = rows(new Float32Array(bytes(W2)), this.b2.length);
  }

  /** @param {number} before @param {number} word */
  pairKey(before, word) {
    return before * this.words.size + word;
  }

  /** @param {number} id */
  embedding(id) {
    return this.table.subarray(id * this.model.dim, (id + 1) * this.model.dim);
  }

  /** Known n-grams of characters of a word, which are not the whole word. @param {string} word */
  piecesOf(word) {
    const [smallest, largest] = this.model.sizes;
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
    /** @type {Occurrence[]} */
    const found = [];
    /** @type {(number | undefined)[]} */
    let before = []; // features of 1, 2, ... words that end at the token before
    tokens.forEach((token, t) => {
      const word = this.words.get(token);
      const ending = [word];
      for (let size = 2; size <= this.model.ngrams && word !== undefined; size++) {
        const start = before[size - 2];
        ending.push(start === undefined ? undefined : this.pairs.get(this.pairKey(start, word)));
      }
      ending.forEach((id, more) => id !== undefined && found.push({ id, first: t - more, last: t }));
      this.piecesOf(token).forEach((id) => found.push({ id, first: t, last: t }));
      before = ending;
    });
    return found;
  }

  /** @param {Occurrence[]} occurrences @returns {Pass} */
  forward(occurrences) {
    /** @type {Map<number, number>} */
    const counts = new Map();
    for (const { id } of occurrences) counts.set(id, this.model.binary ? 1 : (counts.get(id) ?? 0) + 1);
    let total = 0;
    counts.forEach((count) => (total += count));
    const E = Array(this.model.dim).fill(0);
    counts.forEach((count, id) => this.embedding(id).forEach((value, i) => (E[i] += (count / total) * value)));
    const z = affine(FLOATS, this.W1, E, this.b1);
    const h = z.map((value) => Math.max(0, value));
    return { z, logits: affine(FLOATS, this.W2, h, this.b2), counts, total };
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

  /**
   * Take the logit of a label apart; more is always more for this label.
   * @param {string[]} tokens
   * @param {number} label its number
   * @returns {Explanation}
   */
  explain(tokens, label) {
    const { labels, multiLabel } = this.model;
    const occurrences = this.occurrences(tokens);
    const { z, logits, counts, total } = this.forward(occurrences);
    const weights = logits.map(() => 0); // of the logits whose sum is explained
    let against = null;
    if (multiLabel) {
      weights[label] = 1;
    } else if (logits.length > 1) {
      const others = [...labels.keys()].filter((other) => other !== label);
      against = others.reduce((best, other) => (logits[other] > logits[best] ? other : best));
      [weights[label], weights[against]] = [1, -1];
    } else {
      weights[0] = labels.length && label === 0 ? -1 : 1;
    }
    const slope = z.map((value, unit) =>
      value > 0
        ? dot(
            weights,
            this.W2.map((row) => row[unit]),
          )
        : 0,
    );
    const back = Array.from({ length: this.model.dim }, (_, i) =>
      dot(
        slope,
        this.W1.map((row) => row[i]),
      ),
    );
    /** @type {Map<number, number>} how often each feature occurs */
    const times = new Map();
    for (const { id } of occurrences) times.set(id, (times.get(id) ?? 0) + 1);
    const words = tokens.map(() => 0);
    /** @type {Map<string, {name: string, count: number, contribution: number, isWord: boolean}>} */
    const features = new Map();
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
      against: against === null ? null : labels[against],
      logit,
      constant: dot(slope, this.b1) + dot(weights, this.b2),
      features: [...features.values()].sort((a, b) => Math.abs(b.contribution) - Math.abs(a.contribution)),
      words,
      change: (word) => {
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

/**
 * Insertions, deletions, replacements and exchanges of neighbours that make one word of the other.
 * @param {string} a
 * @param {string} b
 */
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

/** @param {ArrayLike<number>} a @param {ArrayLike<number>} b */
function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** @param {string} base64 */
function bytes(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)).buffer;
}

/**
 * A matrix of so many rows.
 * @param {Float32Array} values
 * @param {number} count
 */
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
