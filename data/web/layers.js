/** Functions of layers, in floats. */

/** @param {ArrayLike<number>} a @param {ArrayLike<number>} b */
function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** W x + b for W (o, i), x (i,) and b (o,). @param {ArrayLike<number>[]} W @param {number[]} x @param {ArrayLike<number>} b */
function affine(W, x, b) {
  return W.map((row, unit) => dot(row, x) + b[unit]);
}

/** dJ/dx of W x from delta, dJ/d(W x). @param {ArrayLike<number>[]} W @param {number[]} delta */
function affineBackward(W, delta) {
  return Array.from(W[0], (_, i) => W.reduce((sum, row, unit) => sum + delta[unit] * row[i], 0));
}

/** @param {number} z */
function sigmoid(z) {
  const decay = Math.exp(-Math.abs(z)); // never overflows
  return (z >= 0 ? 1 : decay) / (1 + decay);
}

/** log(1 + e^z). @param {number} z */
function softplus(z) {
  return Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));
}

/** @param {number[]} z */
function logSumExp(z) {
  const largest = Math.max(...z);
  return largest + Math.log(z.reduce((sum, value) => sum + Math.exp(value - largest), 0));
}

/** @param {number[]} z */
function softmax(z) {
  const total = logSumExp(z);
  return z.map((value) => Math.exp(value - total));
}
