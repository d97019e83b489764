/** Layers of both networks, the small one by hand and the classifier, in floats or in fractions. */

/**
 * Arithmetic of one kind of numbers.
 * @template N
 * @typedef {{zero: N, add: (a: N, b: N) => N, multiply: (a: N, b: N) => N, sign: (a: N) => number}} Arithmetic
 */

/** @type {Arithmetic<number>} */
const FLOATS = { zero: 0, add: (a, b) => a + b, multiply: (a, b) => a * b, sign: Math.sign };

/**
 * W x + b for W (o, i), x (i,) and b (o,).
 * @template N
 * @param {Arithmetic<N>} numbers
 * @param {ArrayLike<N>[]} W
 * @param {ArrayLike<N>} x
 * @param {ArrayLike<N> | null} b
 * @returns {N[]}
 */
function affine({ zero, add, multiply }, W, x, b) {
  return W.map((row, unit) => {
    let sum = b ? b[unit] : zero;
    for (let i = 0; i < row.length; i++) sum = add(sum, multiply(row[i], x[i]));
    return sum;
  });
}

/** @param {number} z */
function sigmoid(z) {
  const decay = Math.exp(-Math.abs(z)); // never overflows
  return (z >= 0 ? 1 : decay) / (1 + decay);
}

/** @param {number[]} z */
function softmax(z) {
  const largest = Math.max(...z);
  const powers = z.map((value) => Math.exp(value - largest));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}
