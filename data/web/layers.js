/** Functions of layers, in floats. */

/** Of as many numbers as b has. @param {ArrayLike<number>} a @param {ArrayLike<number>} b */
function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < b.length; i++) sum += a[i] * b[i];
  return sum;
}

/** W x + b for W (o, i) row by row, x (i,) and b (o,). @param {Float32Array} W @param {number[]} x @param {Float32Array} b */
function affine(W, x, b) {
  return Array.from(b, (bias, unit) => dot(W.subarray(unit * x.length), x) + bias);
}

/** dJ/dx of W x from delta, dJ/d(W x). @param {Float32Array} W @param {number[]} delta */
function affineBackward(W, delta) {
  const width = W.length / delta.length;
  return Array.from({ length: width }, (_, i) => delta.reduce((sum, d, unit) => sum + d * W[unit * width + i], 0));
}

/** @param {number} z */
function sigmoid(z) {
  const decay = Math.exp(-Math.abs(z)); // never overflows
  return (z >= 0 ? 1 : decay) / (1 + decay);
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
