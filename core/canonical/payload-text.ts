/**
 * Payload text ↔ payload, without losing a digit. A number that a double holds is a number for
 * whoever reads the payload, and is written again as it was spelled (`10.10`, `1e5`, `-0`) where it
 * still stands in its place; a number that a double can't hold is raw JSON, which is written as it is.
 */
export interface ParsedPayload {
  readonly payload: Record<string, unknown>;
  /** Absent for most events: all numbers are spelled as JavaScript spells them. */
  readonly spellings?: Spellings | undefined;
}

/** How the numbers of one payload were spelled that JavaScript would spell otherwise. */
export interface Spellings {
  readonly root: object;
  /** Object or list → name or index → text. */
  readonly at: ReadonlyMap<object, ReadonlyMap<string, string>>;
}

// ES2025 "JSON.parse source text access"; the type library does not have it yet.
const { rawJSON: rawJson, isRawJSON: isRawJson } = JSON as unknown as {
  rawJSON(this: void, text: string): unknown;
  isRawJSON(this: void, value: unknown): boolean;
};
type Reviver = (this: object, key: string, value: unknown, context: { source?: string }) => unknown;

/** Throws a SyntaxError on what is no JSON. */
export function parsePayload(text: string): ParsedPayload {
  if (!hasSuspectNumber(text)) return { payload: JSON.parse(text) as Record<string, unknown> };
  const at = new Map<object, Map<string, string>>();
  const keepSpelling: Reviver = function (key, value, { source }) {
    if (typeof value !== "number" || source === undefined) return value;
    if (String(value) === source) return value;
    if (!isExact(value, source)) return rawJson(source);
    const members = at.get(this);
    if (members === undefined) at.set(this, new Map([[key, source]]));
    else members.set(key, source);
    return value;
  };
  const payload = JSON.parse(text, keepSpelling as (key: string, value: unknown) => unknown) as Record<string, unknown>;
  return at.size === 0 ? { payload } : { payload, spellings: { root: payload, at } };
}

/** The payload's JSON text; undefined for what has none. Throws what JSON.stringify throws on cycles and BigInts. */
export function writePayload(payload: unknown, spellings: Spellings | undefined): string | undefined {
  if (spellings === undefined) return JSON.stringify(payload);
  const { root, at } = spellings;
  // What is written → what stood at its place: a transform may have copied the way down to what it changed.
  const before = new Map<unknown, object>([[payload, root]]);
  return JSON.stringify(payload, function (this: object, key, value: unknown) {
    const place = before.get(this);
    if (typeof value === "number") {
      const spelled = place === undefined ? undefined : at.get(place)?.get(key);
      return spelled !== undefined && Object.is(Number(spelled), value) ? rawJson(spelled) : value;
    }
    const stood = (place as Record<string, unknown> | undefined)?.[key];
    if (typeof value === "object" && typeof stood === "object" && stood !== null) before.set(value, stood);
    return value;
  });
}

/**
 * Whether a number of a JSON text may be spelled otherwise than JavaScript would: 16 digits and more, an
 * exponent, a zero at a decimal's end, minus zero. Texts are leapt over, where most of a payload's digits are.
 */
function hasSuspectNumber(text: string): boolean {
  let at = 0;
  while (at < text.length) {
    const quote = text.indexOf('"', at);
    const end = quote === -1 ? text.length : quote;
    if (isSuspectBetween(text, at, end)) return true;
    at = quote === -1 ? end : endOfString(text, quote) + 1;
  }
  return false;
}

function endOfString(text: string, start: number): number {
  for (let quote = text.indexOf('"', start + 1); quote !== -1; quote = text.indexOf('"', quote + 1)) {
    let before = quote - 1;
    while (text.charCodeAt(before) === BACKSLASH) before -= 1;
    if ((quote - before) % 2 === 1) return quote;
  }
  return text.length;
}

const BACKSLASH = 0x5c;
const MINUS = 0x2d;
const POINT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const LOWER_CASE = 0x20;
const LETTER_E = 0x65;
/** A double holds any so many digits. */
const DIGITS_MAX = 15;

/** A stretch of JSON without strings: numbers, words, brackets. */
function isSuspectBetween(text: string, from: number, to: number): boolean {
  let length = 0;
  let hasPoint = false;
  let isNegative = false;
  for (let i = from; i < to; i++) {
    const character = text.charCodeAt(i);
    if (character === POINT || (character >= ZERO && character <= NINE)) {
      length += 1;
      hasPoint ||= character === POINT;
      if (length > DIGITS_MAX) return true;
    } else {
      if (length > 0) {
        const endsInZero = text.charCodeAt(i - 1) === ZERO;
        if ((character | LOWER_CASE) === LETTER_E || (endsInZero && (hasPoint || (isNegative && length === 1))))
          return true;
      }
      length = 0;
      hasPoint = false;
      isNegative = character === MINUS;
    }
  }
  return false;
}

function isExact(value: number, source: string): boolean {
  return decimalOf(String(value)) === decimalOf(source);
}

/** A number's text in one form, `[-]digits e exponent` without zeros at either end, to compare two spellings. */
function decimalOf(text: string): string {
  const match = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text);
  if (match === null) return text;
  const [, sign = "", whole = "", fraction = "", exponent = "0"] = match;
  const digits = (whole + fraction).replace(/^0+/, "");
  if (digits === "") return "0";
  const trimmed = digits.replace(/0+$/, "");
  return `${sign}${trimmed}e${Number(exponent) - fraction.length + digits.length - trimmed.length}`;
}

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

/** The value of a JSON number's text: a number where a double holds it exactly, else raw JSON. Undefined for what is no number, or too large for a double. */
export function exactNumber(text: string): unknown {
  const value = Number(text);
  if (!NUMBER.test(text) || !Number.isFinite(value)) return undefined;
  return isExact(value, text) ? value : rawJson(text);
}

/** The text of a payload's number, raw JSON included; undefined for all that is no number. */
export function numberText(value: unknown): string | undefined {
  if (typeof value === "number") return String(value);
  return isRawJson(value) ? (value as { rawJSON: string }).rawJSON : undefined;
}

/** A number that is written as this text, whatever stood in its place before. For text that is a JSON number. */
export function spelledNumber(text: string): unknown {
  return rawJson(text);
}
