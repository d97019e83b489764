/** Two kinds of numbers to compute with: floats, and exact fractions of whole numbers of any size. */

const TOLERANCE = 1e-12; // below it, a float counts as 0, as FLOAT_TOLERANCE in network.py has it
const MAX_TYPED = 400; // characters of a number
const LONGEST = 10; // characters of a fraction; a longer one is shown as a decimal
const NUMBER = /^([+-]?)(?=\.?\d)(?:(\d+)\/(\d+)|(\d*)\.?(\d*)(?:e([+-]?\d{1,3}))?)$/i;

/** @type {Arithmetic<number>} */
const FLOATS = {
  from: toFloat,
  near: (a) => a,
  float: (a) => a,
  sign: (a) => (Math.abs(a) <= TOLERANCE ? 0 : Math.sign(a)),
  add: (a, b) => a + b,
  multiply: (a, b) => a * b,
};

/** @type {Arithmetic<Fraction>} */
const FRACTIONS = {
  from: (a) => a,
  near: (a) => parseNumber(String(a)) ?? fraction(0n),
  float: toFloat,
  sign: ({ n }) => Number(n > 0n) - Number(n < 0n),
  add: (a, b) => fraction(a.n * b.d + b.n * a.d, a.d * b.d),
  multiply: (a, b) => fraction(a.n * b.n, a.d * b.d),
};

/** @param {bigint} n @param {bigint} d above 0 @returns {Fraction} */
function fraction(n, d = 1n) {
  let [a, b] = [n < 0n ? -n : n, d];
  while (b) [a, b] = [b, a % b];
  return { n: n / a, d: d / a };
}

/** @param {number | Fraction} value */
function toFloat(value) {
  if (typeof value === "number") return value;
  const { n, d } = value;
  const scale = 10n ** BigInt(Math.max(0, `${n}`.length - 300, `${d}`.length - 300)); // for what no float can hold
  return Number(n / scale) / Number(d / scale);
}

/** An integer, decimal or fraction; null if it is none of these. @param {string} typed */
function parseNumber(typed) {
  const text = typed.replace(/\s/g, "").replace(/[−–]/g, "-").replace(",", ".");
  const found = text.length <= MAX_TYPED && NUMBER.exec(text);
  if (!found || /^0+$/.test(found[3])) return null;
  const [, sign, numerator, denominator = "1", whole = numerator, decimals = "", exponent = "0"] = found;
  const power = Number(exponent) - decimals.length;
  const [up, down] = [power, -power].map((zeros) => 10n ** BigInt(Math.max(zeros, 0)));
  const value = fraction(BigInt(sign + whole + decimals) * up, BigInt(denominator) * down);
  return Number.isFinite(toFloat(value)) ? value : null;
}

/** @param {Fraction} value */
function written({ n, d }) {
  return d === 1n ? `${n}` : `${n}/${d}`;
}

/** As formats.py shows numbers. @param {number | Fraction} value @param {boolean} decimals @param {number} digits */
function shown(value, decimals, digits) {
  const exact = typeof value === "object" && (!decimals || value.d === 1n) ? written(value) : "";
  const isShort = exact && exact.length <= LONGEST;
  return (isShort ? exact : String(Number(toFloat(value).toPrecision(digits)))).replaceAll("-", "\u2212");
}

/** @param {number | Fraction | null | undefined} value 0 if there is none */
function asFraction(value) {
  return typeof value === "object" && value ? value : FRACTIONS.near(value ?? 0);
}
