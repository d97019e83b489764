/** A small network by hand: the steps from its numbers to J, and the chain rule back. */

/** @type {Record<string, { phi: (z: number[]) => Value, slopes: (z: number[], a: number) => Value[] }>} */
const FUNCTIONS = {
  sigmoid: { phi: ([z]) => sigmoid(z), slopes: (_, a) => [a * (1 - a)] },
  tanh: { phi: ([z]) => Math.tanh(z), slopes: (_, a) => [1 - a * a] },
  softplus: { phi: ([z]) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))), slopes: ([z]) => [sigmoid(z)] },
  exp: { phi: ([z]) => Math.exp(z), slopes: (_, a) => [a] },
  step: { phi: ([z]) => (z >= 0 ? ONE : ZERO), slopes: () => [ZERO] },
  "log-sum-exp": { phi: logSumExp, slopes: softmax },
};

/** Forward, in floats unless it is exact. @param {Step[]} steps @param {Values} given @param {boolean} isExact @returns {Worked} */
function forward(steps, given, isExact) {
  const [values, links] = [/** @type {Value[]} */ ([]), /** @type {Link[]} */ ([])];
  steps.forEach((step, place) => {
    const { value, slopes } = step.kind === "given" ? { value: given[step.key], slopes: [] } : work(step, values);
    values.push(isExact ? value : toFloat(value));
    step.terms.forEach(([of, by, factor], i) => {
      const isKink = step.kind === "piecewise" && sign(values[of]) === 0; // where the slope is that on the left
      links.push({ place, of, by, factor, isKink, slope: isExact ? slopes[i] : toFloat(slopes[i]) });
    });
  });
  return { values, links };
}

/** A step and its slopes in its terms, from the values before it. @param {Step} step @param {Value[]} values */
function work({ kind, terms }, values) {
  const z = terms.map(([of]) => values[of]);
  if (kind !== "sum" && kind !== "piecewise") {
    const [{ phi, slopes }, floats] = [FUNCTIONS[kind], z.map(toFloat)];
    const value = phi(floats);
    return { value, slopes: slopes(floats, toFloat(value)) };
  }
  const slopes = terms.map(([, by, factor], i) => {
    const other = by === null ? ONE : values[by];
    return factor && !(kind === "piecewise" && sign(z[i]) > 0) ? multiply(parseNumber(factor) ?? ZERO, other) : other;
  });
  // half of each slope in a product or square, which have them twice (Euler's theorem)
  const parts = terms.map(([, by], i) => multiply(by === null ? slopes[i] : multiply(HALF, slopes[i]), z[i]));
  return { value: parts.reduce((sum, part) => add(sum, part), ZERO), slopes };
}

/** The links with the value for phi'(0) at kinks; a leaky ReLU has at least its leak. @param {Link[]} links @param {Value} atZero */
function withConvention(links, atZero) {
  return links.map((one) => (one.isKink && toFloat(atZero) > toFloat(one.slope) ? { ...one, slope: atZero } : one));
}

/** dJ/d(each step), by place; none where a step does not lead to J. @param {Link[]} links */
function backward(links) {
  const gradients = /** @type {Value[]} */ ([]);
  gradients[links[links.length - 1].place] = ONE;
  for (const { place, of, slope } of [...links].reverse()) {
    if (place in gradients) gradients[of] = add(gradients[of] ?? ZERO, multiply(gradients[place], slope));
  }
  return gradients;
}

/** Slope of J on one side of a number: that of the piece which it enters. @param {Link[]} links @param {number} number @param {number} side 1 or -1 */
function oneSided(links, number, side) {
  const moves = /** @type {Value[]} */ ([]);
  moves[number] = fraction(BigInt(side));
  for (const { place, of, slope, isKink } of links) {
    if (!(of in moves)) continue;
    const move = isKink && sign(moves[of]) > 0 ? moves[of] : multiply(slope, moves[of]);
    moves[place] = add(moves[place] ?? ZERO, move);
  }
  return multiply(fraction(BigInt(side)), moves[links[links.length - 1].place] ?? ZERO);
}

/** The chain rule: the links of a number, and of each step between it and J. @param {Link[]} links @param {Value[]} gradients @param {number} number */
function chain(links, gradients, number) {
  const users = new Map([[number, /** @type {Link[]} */ ([])]]);
  for (const link of links.filter(({ place }) => place in gradients)) {
    if (users.get(link.of)?.push(link) && !users.has(link.place)) users.set(link.place, []);
  }
  users.delete(links[links.length - 1].place);
  return users;
}
