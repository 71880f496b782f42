/** Exact arithmetic on decimals in text: no product of ours has a digit that the numbers don't have. */

const DECIMAL = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,4}))?$/;
/** Longer numbers, and those with larger exponents, are no measurements. */
const LENGTH_MAX = 400;
/** More than the number itself has, where a quotient does not end. */
const FRACTION_DIGITS = 15;

/** digits × 10^exponent */
interface Decimal {
  readonly digits: bigint;
  readonly exponent: number;
}

export function isDecimal(text: string): boolean {
  return decimalOf(text) !== undefined;
}

/** The number's text as JSON has it: no plus, no zeros before it, digits on both sides of the point. Undefined for what is no decimal. */
export function jsonNumber(text: string): string | undefined {
  const match = text.length > LENGTH_MAX ? null : DECIMAL.exec(text);
  if (match === null) return undefined;
  const [, sign = "", whole = "", fraction = "", exponent] = match;
  if (whole === "" && fraction === "") return undefined;
  const digits = whole.replace(/^0+(?=\d)/, "") || "0";
  return `${sign === "-" ? "-" : ""}${digits}${fraction === "" ? "" : `.${fraction}`}${exponent === undefined ? "" : `e${exponent}`}`;
}

/** The integer's digits, if the decimal is one. */
export function integerText(text: string): string | undefined {
  const decimal = decimalOf(text);
  if (decimal === undefined) return undefined;
  const { digits, exponent } = decimal;
  if (exponent >= 0) return String(digits * 10n ** BigInt(exponent));
  const unit = 10n ** BigInt(-exponent);
  return digits % unit === 0n ? String(digits / unit) : undefined;
}

/** The product of two decimals, exactly. */
export function scaled(text: string, by: string): string | undefined {
  const [a, b] = [decimalOf(text), decimalOf(by)];
  if (a === undefined || b === undefined) return undefined;
  return textOf({ digits: a.digits * b.digits, exponent: a.exponent + b.exponent });
}

/** By dimension: how many of the smallest one each is. */
const DIMENSIONS: ReadonlyArray<Readonly<Record<string, bigint>>> = [
  {
    ns: 1n,
    us: 1_000n,
    ms: 1_000_000n,
    s: 1_000_000_000n,
    min: 60_000_000_000n,
    h: 3_600_000_000_000n,
    d: 86_400_000_000_000n,
  },
  {
    B: 1n,
    kB: 1_000n,
    MB: 1_000_000n,
    GB: 1_000_000_000n,
    TB: 1_000_000_000_000n,
    KiB: 1n << 10n,
    MiB: 1n << 20n,
    GiB: 1n << 30n,
    TiB: 1n << 40n,
  },
  { mm: 1n, cm: 10n, m: 1_000n, km: 1_000_000n },
  { mg: 1n, g: 1_000n, kg: 1_000_000n, t: 1_000_000_000n },
];

export const UNITS: readonly string[] = DIMENSIONS.flatMap((units) => Object.keys(units));

/**
 * The amount in another unit of the same dimension; exact where that ends within 15 more decimals than
 * the amount has, else rounded there, half to even. Undefined when the units measure different things.
 */
export function converted(text: string, from: string, to: string): string | undefined {
  const units = DIMENSIONS.find((units) => Object.hasOwn(units, from) && Object.hasOwn(units, to));
  const decimal = decimalOf(text);
  if (units === undefined || decimal === undefined) return undefined;
  return quotient(
    { digits: decimal.digits * (units[from] as bigint), exponent: decimal.exponent },
    units[to] as bigint,
  );
}

function quotient({ digits, exponent }: Decimal, by: bigint): string {
  const places = FRACTION_DIGITS + Math.max(0, -exponent);
  const shift = exponent + places;
  const numerator = digits * 10n ** BigInt(shift);
  const negative = numerator < 0n;
  const absolute = negative ? -numerator : numerator;
  const rest = (absolute % by) * 2n;
  let result = absolute / by;
  if (rest > by || (rest === by && result % 2n === 1n)) result += 1n;
  return textOf({ digits: negative ? -result : result, exponent: -places });
}

function decimalOf(text: string): Decimal | undefined {
  const match = text.length > LENGTH_MAX ? null : DECIMAL.exec(text);
  if (match === null) return undefined;
  const [, sign = "", whole = "", fraction = "", exponent = "0"] = match;
  if (whole === "" && fraction === "") return undefined;
  const size = Number(exponent) - fraction.length;
  if (Math.abs(size) > LENGTH_MAX) return undefined;
  return { digits: BigInt(`${sign === "-" ? "-" : ""}${whole}${fraction}`), exponent: size };
}

/** Without an exponent and without zeros at the end. */
function textOf({ digits, exponent }: Decimal): string {
  const sign = digits < 0n ? "-" : "";
  const absolute = String(digits < 0n ? -digits : digits);
  if (exponent >= 0) return `${sign}${digits === 0n ? "0" : absolute + "0".repeat(exponent)}`;
  const padded = absolute.padStart(1 - exponent, "0");
  const fraction = padded.slice(exponent).replace(/0+$/, "");
  return `${sign}${padded.slice(0, exponent)}${fraction === "" ? "" : `.${fraction}`}`;
}
