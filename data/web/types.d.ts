// Types that the scripts share. Those of the classifier are written by mlcore/sentiment/export.py, steps by exercise/page.py.

/** Characters that are read alike. */
type Alike = [first: number, last: number, kind: number, read: number[]];
/** The kind of a character, and the letter for it that TOKEN in text.js has. */
type Reading = { kind: number; code: string; read: string };
/** A part of a text as it was written, and its token, if any. */
type Span = [written: string, token: string | null];

/** What a text is as numbers: all of a model but its parameters. */
type Vocabulary = {
  characters: Alike[];
  entities: Record<string, string>; // by their names in HTML, such as "amp;"
  labels: string[]; // of two the positive one is last; none: it predicts ratings
  multiLabel: boolean;
  thresholds: number[]; // where texts may have several labels
  seen: [number, number] | null; // lowest and highest rating of the training texts
  words: string[];
  pieces: string[]; // n-grams of characters
  sizes: [number, number]; // of these, from the smallest to the largest; the largest is below 1 if there are none
  ngrams: number; // words of the longest n-grams
  binary: boolean; // whether each feature counts once
  pairs: [before: number, word: number][]; // an n-gram without its last word, or -1 for the beginning, and this word
};
/** Arrays are in base64. */
type Model = Vocabulary & {
  dim: number;
  float16: boolean; // whether the table is
  step: number | null; // of which the numbers of the table are multiples, in 8 bits
  parameters: Record<"table" | "W1" | "b1" | "W2" | "b2", string>;
  textNames: string[]; // of columns with texts
};
/** A feature, and the tokens that it is made of, also as the beginning of the text. */
type Occurrence = { id: number; first: number; last: number; begins?: boolean };
type Feature = { name: string; places: Set<number>; contribution: number };
type Prediction = {
  chosen: number[]; // numbers of the labels
  confidence: number; // probability of the label; of several, that of the least certain decision
  probabilities: number[]; // of all labels
  rating: number; // where there are no labels
  known: number; // tokens that the model knows
  all: number; // tokens
};

/** In lowest terms, d > 0. */
type Fraction = { n: bigint; d: bigint };
type Value = Fraction | number;
/**
 * A step from the numbers of a network to J, which is the last one. The kinks are those of piecewise, which is `of` above
 * 0 and `factor * of` below. The other kinds are given; sum, whose terms say its slopes, `factor * by` in `of`; or one of
 * FUNCTIONS in network.js. Without a factor it is 1.
 */
type Term = [of: number, by: number | null, factor: string];
type Step = { key: string; name: string; kind: string; terms: Term[] };
/** From a step to one that it is made of, and its slope in that one; at a kink that on the left. */
type Link = { place: number; of: number; by: number | null; factor: string; isKink: boolean; slope: Value };
type Worked = { values: Value[]; links: Link[] };
/** Numbers by the keys of steps, of their gradients (d.) and of delta. */
type Values = Record<string, Value>;
type Sheet = {
  steps: Step[];
  trained: number[]; // the steps of weights and biases that are not frozen
  samples: number; // times the gradient in z is delta, which belongs to the loss of one sample
  isRational: boolean;
  digits: number;
  decimals: boolean;
};
