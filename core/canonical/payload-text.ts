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

/** 16 digits and more, an exponent, a zero at a decimal's end, minus zero: all that a double, or its text, may not keep. */
const SUSPECT_NUMBER = /\d(?:[\d.]{15,}|[eE][+-]?\d|\.\d*0(?![\d.])|(?<=-0)[,\]}\s])/;

// ES2025 "JSON.parse source text access"; the type library does not have it yet.
const { rawJSON: rawJson, isRawJSON: isRawJson } = JSON as unknown as {
  rawJSON(this: void, text: string): unknown;
  isRawJSON(this: void, value: unknown): boolean;
};
type Reviver = (this: object, key: string, value: unknown, context: { source?: string }) => unknown;
const parseJson = JSON.parse as (text: string, reviver?: Reviver) => unknown;

/** Throws a SyntaxError on what is no JSON. */
export function parsePayload(text: string): ParsedPayload {
  if (!SUSPECT_NUMBER.test(text)) return { payload: parseJson(text) as Record<string, unknown> };
  const at = new Map<object, Map<string, string>>();
  const payload = parseJson(text, function (key, value, { source }) {
    if (typeof value !== "number" || source === undefined) return value;
    if (String(value) === source) return value;
    if (!isExact(value, source)) return rawJson(source);
    const members = at.get(this);
    if (members === undefined) at.set(this, new Map([[key, source]]));
    else members.set(key, source);
    return value;
  }) as Record<string, unknown>;
  return at.size === 0 ? { payload } : { payload, spellings: { root: payload, at } };
}

/** The payload's JSON text. Throws what JSON.stringify throws on cycles and BigInts. */
export function writePayload(payload: unknown, spellings: Spellings | undefined): string {
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
