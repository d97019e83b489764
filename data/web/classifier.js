/** The classifier: features of a text, forward pass, and the exact share of each word, as in mlcore/sentiment. */

const [MISSPELT, LONGEST] = [4, 64]; // characters of an unknown word that is taken for a known one

/** The features of texts, from what pages have, and from the JSON file beside an ONNX file. */
class Features {
  /** @param {Vocabulary} model */
  constructor(model) {
    this.vocabulary = model;
    this.tokenizer = new Tokenizer(model.characters, model.entities);
    this.words = new Map(model.words.map((word, id) => [word, id]));
    const n = this.words.size; // before * n + word is the key of a pair
    this.pairs = new Map(model.pairs.map(([before, word], i) => [before * n + word, n + i]));
    this.pieces = new Map(model.pieces.map((piece, i) => [piece, n + this.pairs.size + i]));
    this.spellings = /** @type {Map<string, number>} */ (new Map()); // filled when it is needed
  }

  /** The most frequent known word, of 50,000, that is like an unknown one but for a character. @param {string} word */
  alike(word) {
    for (let id = this.spellings.size ? 0 : Math.min(this.words.size, 50_000); id--;) {
      shortened(this.vocabulary.words[id]).forEach((one) => this.spellings.set(one, id));
    }
    const ids = [...word].length < MISSPELT ? [] : shortened(word).map((one) => this.spellings.get(one) ?? Infinity);
    return this.vocabulary.words[Math.min(...ids)]; // undefined if there is none
  }

  /** Tokens as they are read: with n-grams of characters, unknown ones as those that are alike. @param {string[]} tokens */
  read(tokens) {
    if (this.vocabulary.sizes[1] < 1) return tokens;
    return tokens.map((token) => (this.words.has(token) ? token : (this.alike(token) ?? token)));
  }

  /** Known n-grams of characters of a word, which are not the whole word. @param {string} word */
  piecesOf(word) {
    const [smallest, largest] = this.vocabulary.sizes;
    const [characters, found] = [["<", ...word, ">"], /** @type {number[]} */ ([])];
    for (let start = 0; start < characters.length; start++) {
      const longest = Math.min(largest, characters.length - Math.max(start, 1));
      for (let size = smallest; size <= longest; size++) {
        const id = this.pieces.get(characters.slice(start, start + size).join(""));
        if (id !== undefined) found.push(id);
      }
    }
    return found;
  }

  /** Known features, each as often as it occurs. @param {string[]} written */
  occurrences(written) {
    const found = /** @type {Occurrence[]} */ ([]);
    // features of 1, 2, ... words that end at the token before; -1 is the beginning of the text, which counts as a word
    let before = /** @type {(number | undefined)[]} */ ([-1]);
    this.read(written).forEach((token, t) => {
      const word = this.words.get(token);
      const ends = [word];
      for (let size = 2; size <= this.vocabulary.ngrams + 1 && word !== undefined; size++) {
        const start = before[size - 2];
        ends.push(start === undefined ? undefined : this.pairs.get(start * this.words.size + word));
      }
      ends.forEach((id, n) => id == null || found.push({ id, first: Math.max(t - n, 0), last: t, begins: n > t }));
      this.piecesOf(token).forEach((id) => found.push({ id, first: t, last: t }));
      before = ends;
    });
    return found;
  }

  /** How often each feature occurs. @param {Occurrence[]} occurrences */
  counts(occurrences) {
    const counts = /** @type {Map<number, number>} */ (new Map());
    for (const { id } of occurrences) counts.set(id, (counts.get(id) ?? 0) + 1);
    return counts;
  }
}

class Classifier extends Features {
  /** @param {Model} model */
  constructor(model) {
    super(model);
    this.model = model;
    const [{ step, float16 }, { table, W1, b1, W2, b2 }] = [model, model.parameters];
    const floats = (/** @type {string} */ base64) => new Float32Array(bytes(base64));
    this.layers = { W1: floats(W1), b1: floats(b1), W2: floats(W2), b2: floats(b2) };
    if (step) this.table = Float32Array.from(new Int8Array(bytes(table)), (level) => level * step);
    else if (float16) this.table = Float32Array.from(new Uint16Array(bytes(table)), half);
    else this.table = floats(table);
  }

  /** The logits, and the share that each occurrence has in the mean embedding. @param {Occurrence[]} occurrences */
  forward(occurrences) {
    const [counts, { binary, dim }, { W1, b1, W2, b2 }] = [this.counts(occurrences), this.model, this.layers];
    const shares = occurrences.map(({ id }) => 1 / (binary ? counts.size * (counts.get(id) ?? 1) : occurrences.length));
    const E = Array(dim).fill(0);
    occurrences.forEach(({ id }, t) => E.forEach((_, i) => (E[i] += shares[t] * this.table[id * dim + i])));
    const z = affine(W1, E, b1);
    const h = z.map((value) => Math.max(0, value));
    return { z, logits: affine(W2, h, b2), shares };
  }

  /** @param {string[]} tokens @returns {Prediction} */
  predict(tokens) {
    const { labels, multiLabel, thresholds, seen } = this.model;
    const { logits } = this.forward(this.occurrences(tokens));
    const ofEach = logits.length < labels.length ? [0, ...logits] : logits; // of two labels only the second has one
    const probabilities = multiLabel ? logits.map(sigmoid) : labels.length ? softmax(ofEach) : [];
    const best = probabilities.indexOf(Math.max(...probabilities));
    const decided = probabilities.map((p, label) => (multiLabel ? p > thresholds[label] : label === best));
    const chosen = [...decided.keys()].filter((label) => decided[label]);
    const confidence = Math.min(...probabilities.map((p, label) => (decided[label] ? p : 1 - p)));
    const [low, high] = seen ?? [-Infinity, Infinity];
    const rating = Math.min(Math.max(logits[0], low), high);
    const known = this.read(tokens).filter((token) => this.words.has(token)).length;
    return { chosen, confidence, probabilities, rating, known, all: tokens.length };
  }

  /** Parts of the logit of a label: constant + contributions = logit. @param {string[]} written @param {number} label */
  explain(written, label) {
    const [{ labels, multiLabel }, { W1, b1, W2, b2 }, tokens] = [this.model, this.layers, this.read(written)];
    const occurrences = this.occurrences(tokens);
    const { z, logits, shares } = this.forward(occurrences);
    const others = [...logits.keys()].filter((other) => other !== label && !multiLabel && logits.length > 1);
    const against = others.sort((a, b) => logits[b] - logits[a])[0]; // the best of them, if there are others
    const weights = logits.map((_, k) => Number(k === label) - Number(k === against)); // of what is explained
    if (logits.length === 1) weights[0] = labels.length === 2 && label === 0 ? -1 : 1;
    const delta = affineBackward(W2, weights).map((value, unit) => (z[unit] > 0 ? value : 0));
    const [back, logit] = [affineBackward(W1, delta), dot(weights, logits)];
    const [words, features] = [tokens.map(() => 0), /** @type {Map<string, Feature>} */ (new Map())];
    occurrences.forEach(({ id, first, last, begins }, i) => {
      const contribution = shares[i] * dot(this.table.subarray(id * back.length), back);
      const name = [...(begins ? ["^"] : []), ...tokens.slice(first, last + 1)].join(" ");
      const feature = features.get(name) ?? { name, places: new Set(), contribution: 0 };
      features.set(name, feature);
      feature.places.add(first); // once for a word and its n-grams of characters
      feature.contribution += contribution;
      for (let t = first; t <= last; t++) words[t] += contribution / (last + 1 - first);
    });
    return {
      output: labels[label] ?? null,
      against: labels[against] ?? null,
      logit,
      constant: dot(b1, delta) + dot(b2, weights),
      features: [...features.values()].sort((a, b) => Math.abs(b.contribution) - Math.abs(a.contribution)),
      words,
      change: (/** @type {string} */ word) =>
        dot(weights, this.forward(this.occurrences(tokens.filter((token) => token !== word))).logits) - logit,
    };
  }
}

/** A word, and what is left of it without each of its characters; nothing of longer ones. @param {string} word */
const shortened = (word) =>
  [...word].length > LONGEST ? [] : [word, ...Array.from(word, (_, i) => [...word].filter((_, j) => j !== i).join(""))];

/** @param {string} base64 */
const bytes = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)).buffer;

/** A number of 16 bits, as IEEE 754 has it. @param {number} bits */
function half(bits) {
  const [exponent, fraction] = [(bits >> 10) & 0x1f, bits & 0x3ff];
  const size = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24;
  return bits & 0x8000 ? -size : size;
}
