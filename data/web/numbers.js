/** Two kinds of numbers to compute with: exact fractions of whole numbers of any size, and floats, which win if mixed. */

const TOLERANCE = 1e-12; // below it, a float counts as 0, as FLOAT_TOLERANCE in network.py has it
const MAX_TYPED = 400; // characters of a number, as MAX_DIGITS in problem.py; a longer one counts as beyond all floats
const WIDEST = 10; // characters of a fraction; a longer one is shown as a decimal
const NUMBER = /^([+-]?)(?=\.?\d)(?:(\d+)\/(0*[1-9]\d*)|(\d*)(?:\.(\d*))?(?:e([+-]?\d{1,3}))?)$/i;
const [ZERO, ONE, HALF] = [fraction(0n), fraction(1n), fraction(1n, 2n)];

/** @param {bigint} n @param {bigint} d above 0 @returns {Fraction} */
function fraction(n, d = 1n) {
  let [a, b] = [n < 0n ? -n : n, d];
  while (b) [a, b] = [b, a % b];
  return { n: n / a, d: d / a };
}

/** @param {Value} value */
function toFloat(value) {
  if (typeof value === "number") return value;
  const { n, d } = value;
  const scale = 10n ** BigInt(Math.max(0, `${n}`.length - 300, `${d}`.length - 300)); // for what no float can hold
  return Number(n / scale) / Number(d / scale);
}

/** @param {Value} a @param {Value} b */
function add(a, b) {
  const areExact = typeof a === "object" && typeof b === "object";
  return areExact ? fraction(a.n * b.d + b.n * a.d, a.d * b.d) : toFloat(a) + toFloat(b);
}

/** @param {Value} a @param {Value} b */
function multiply(a, b) {
  const areExact = typeof a === "object" && typeof b === "object";
  return areExact ? fraction(a.n * b.n, a.d * b.d) : toFloat(a) * toFloat(b);
}

/** @param {Value} a */
function sign(a) {
  if (typeof a === "object") return Number(a.n > 0n) - Number(a.n < 0n);
  return Math.abs(a) <= TOLERANCE ? 0 : Math.sign(a);
}

/** An integer, decimal or fraction; null if it is none of these. @param {string} typed @returns {Fraction | null} */
function parseNumber(typed) {
  const text = typed.replace(/\s/g, "").replace(/[−–]/g, "-").replace(",", ".");
  const found = NUMBER.exec(text);
  if (!found || text.length > MAX_TYPED) return found && parseNumber("1e999");
  const [, sign, numerator, denominator = "1", whole = numerator, decimals = "", exponent = "0"] = found;
  const power = Number(exponent) - decimals.length;
  const [up, down] = [power, -power].map((zeros) => 10n ** BigInt(Math.max(zeros, 0)));
  return fraction(BigInt(sign + whole + decimals) * up, BigInt(denominator) * down);
}

/** What is wrong with what was typed, if anything. @param {Fraction | null} number */
function problemOf(number) {
  if (!number) return "is not a number: write 2, -0.5 or 1/3";
  return Number.isFinite(toFloat(number)) ? "" : "exceeds the range of float64 (1.8e308)";
}

/** @param {Value} value */
function written(value) {
  return typeof value === "number" ? `${value}` : value.d === 1n ? `${value.n}` : `${value.n}/${value.d}`;
}

/** As formats.py shows numbers. @param {Value} value @param {boolean} decimals @param {number} digits */
function shown(value, decimals, digits) {
  const exact = typeof value === "object" && (!decimals || value.d === 1n) ? written(value) : "";
  const isShort = exact && exact.length <= WIDEST;
  return (isShort ? exact : String(Number(toFloat(value).toPrecision(digits)))).replaceAll("-", "\u2212");
}
