/** A small network by hand: the steps from its numbers to J, and the chain rule back. */

/** @type {Record<string, {phi: (z: number) => number, slope: (z: number, a: number) => number}>} */
const FUNCTIONS = {
  sigmoid: { phi: sigmoid, slope: (_, a) => a * (1 - a) },
  tanh: { phi: Math.tanh, slope: (_, a) => 1 - a * a },
  softplus: { phi: softplus, slope: sigmoid },
  exp: { phi: Math.exp, slope: (_, a) => a },
  step: { phi: (z) => Number(z >= 0), slope: () => 0 },
};

/** @template N */
class Calculation {
  /** Forward. @param {Arithmetic<N>} numbers @param {Step[]} steps @param {(step: Step, place: number) => N} given */
  constructor(numbers, steps, given) {
    this.numbers = numbers;
    this.steps = steps;
    this.zero = numbers.near(0);
    this.one = numbers.near(1);
    this.values = /** @type {N[]} */ ([]);
    this.slopes = /** @type {N[][]} */ ([]); // of each step in its terms, at a kink that on the left
    this.found = /** @type {Derivative<N>[][] | null} */ (null); // the derivatives, once they were asked for
    this.kinks = /** @type {Set<number>} */ (new Set());
    this.gradients = /** @type {N[]} */ ([]);
    this.atZero = this.zero; // phi'(0) of the gradients
    steps.forEach((step, place) => {
      const z = step.terms.map(([of]) => this.values[of]);
      const { value, slopes } = step.kind === "given" ? { value: given(step, place), slopes: [] } : this.work(step, z);
      if (step.kind === "piecewise" && numbers.sign(z[0]) === 0) this.kinks.add(place);
      this.values.push(value);
      this.slopes.push(slopes);
    });
  }

  /** Of each step in those that it is made of. @returns {Derivative<N>[][]} */
  get derivatives() {
    return (this.found ??= this.steps.map(({ kind, terms }, place) =>
      terms.flatMap(([of, by, factor], i) => {
        const found = { of, slope: this.slopes[place][i], factor, by: kind === "squares" ? of : by };
        return by === null ? [found] : [found, { of: by, slope: this.scaled(this.values[of], factor), factor, by: of }];
      }),
    ));
  }

  /** @param {N} value @param {string} factor */
  scaled(value, factor) {
    return factor ? this.numbers.multiply(this.numbers.from(asFraction(parseNumber(factor))), value) : value;
  }

  /** A step, and its slopes in its terms, of which it has the values. @param {Step} step @param {N[]} z */
  work({ kind, terms }, z) {
    const { near, float, sign, add, multiply } = this.numbers;
    if (kind === "log-sum-exp") {
      return { value: near(logSumExp(z.map(float))), slopes: softmax(z.map(float)).map(near) };
    }
    if (kind in FUNCTIONS) {
      const [x, { phi, slope }] = [float(z[0]), FUNCTIONS[kind]];
      return { value: near(phi(x)), slopes: [near(slope(x, phi(x)))] };
    }
    const slopes = terms.map(([, by, factor], i) => {
      if (kind === "piecewise") return sign(z[i]) > 0 ? this.one : this.scaled(this.one, factor);
      return this.scaled(kind === "squares" ? z[i] : by === null ? this.one : this.values[by], factor);
    });
    const sum = slopes.reduce((sum, slope, i) => add(sum, multiply(slope, z[i])), this.zero);
    return { value: kind === "squares" ? this.scaled(sum, "1/2") : sum, slopes };
  }

  /** The derivative that the gradients take. @param {number} place of the step @param {N} slope on the left of a kink */
  slope(place, slope) {
    const { add, multiply, near, sign } = this.numbers;
    return this.kinks.has(place) && sign(add(this.atZero, multiply(near(-1), slope))) > 0 ? this.atZero : slope;
  }

  /** dJ/d(every step). @param {N} atZero phi'(0); a leaky ReLU has at least its leak */
  backward(atZero) {
    const { add, multiply } = this.numbers;
    this.atZero = atZero;
    this.gradients = this.values.map((_, place) => (place === this.values.length - 1 ? this.one : this.zero));
    for (let place = this.values.length - 1; place >= 0; place--) {
      for (const { of, slope } of this.derivatives[place]) {
        const change = multiply(this.gradients[place], this.slope(place, slope));
        this.gradients[of] = add(this.gradients[of], change);
      }
    }
    return this.gradients;
  }

  /** Slope of J on one side of a number: that of the piece which it enters. @param {number} number @param {number} side 1 or -1 */
  oneSided(number, side) {
    const { add, multiply, near, sign } = this.numbers;
    const moves = this.values.map((_, place) => (place === number ? near(side) : this.zero));
    this.derivatives.forEach((found, place) => {
      for (const { of, slope } of found) {
        const isOn = this.kinks.has(place) && sign(moves[of]) > 0;
        moves[place] = add(moves[place], isOn ? moves[of] : multiply(slope, moves[of]));
      }
    });
    return multiply(near(side), moves[moves.length - 1]);
  }

  /** The chain rule from a number to J: the steps on the way, each with those that use it. @param {number} number */
  chain(number) {
    const users = new Map([[number, /** @type {(Derivative<N> & {place: number})[]} */ ([])]]);
    this.derivatives.forEach((found, place) => {
      for (const one of found.filter(({ of }) => users.has(of))) {
        users.get(one.of)?.push({ ...one, place, slope: this.slope(place, one.slope) });
        if (!users.has(place)) users.set(place, []);
      }
    });
    const last = this.values.length - 1;
    for (const [place, found] of [...users].reverse()) {
      const onTheWay = found.filter((user) => users.has(user.place));
      if (onTheWay.length) users.set(place, onTheWay);
      else if (place !== last) users.delete(place);
    }
    users.delete(last);
    return users;
  }
}
