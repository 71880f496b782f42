/**
 * A strict RFC 8259 scanner over bytes: one pass, no values built. It accepts exactly what
 * `JSON.parse` accepts and finds on the way where the members of an object lie, so that a payload
 * can be passed on byte for byte. Numbers beyond a double and nesting beyond the limit are noted as
 * faults, not as syntax errors. UTF-8 is not looked at: check it before (`isUtf8`).
 */

/** Containers within one another, the outermost counted. */
export const DEPTH_MAX = 64;
/** Faults and duplicates kept of one scan; further ones are dropped. */
const FAULTS_MAX = 16;

export interface ScanFault {
  readonly code: "too_deep" | "number_out_of_range";
  /** Byte offset of the value. */
  readonly offset: number;
}

/** Where the members of one object lie. Reused from scan to scan; consume it before the next. */
export class Members {
  count = 0;
  /** Four numbers per member: name (without its quotes) from, to; value from, to. */
  spans: Int32Array = new Int32Array(4 * 32);
  /** Names hold escapes: compare them decoded. */
  escapedNames = false;
  readonly faults: ScanFault[] = [];

  clear(): void {
    this.count = 0;
    this.escapedNames = false;
    if (this.faults.length > 0) this.faults.length = 0;
    // What one hostile event needed is not kept for ever.
    if (this.spans.length > SPANS_KEPT) this.spans = new Int32Array(SPANS_KEPT);
  }

  grow(): Int32Array {
    const larger = new Int32Array(this.spans.length * 2);
    larger.set(this.spans);
    this.spans = larger;
    return larger;
  }
}

const SPANS_KEPT = 4 * 1024;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const SPACE = 0x20;

/**
 * Scans the object that starts at `from` (its brace) and writes down its members.
 * Returns the offset behind it, or `~offset` of the first syntax error (`~end`: the text ends too early).
 * `depth` is the number of containers around the object.
 */
export function scanObject(bytes: Uint8Array, from: number, end: number, into: Members, depth = 0): number {
  into.clear();
  let spans = into.spans;
  let i = skipSpace(bytes, from + 1, end);
  if (i < end && bytes[i] === CLOSE_BRACE) return i + 1;
  for (;;) {
    if (i >= end || bytes[i] !== QUOTE) return ~i;
    const nameFrom = i + 1;
    const escapesBefore = escapesSeen;
    i = skipString(bytes, nameFrom, end);
    if (i < 0) return i;
    if (escapesSeen !== escapesBefore) into.escapedNames = true;
    const nameTo = i - 1;
    i = skipSpace(bytes, i, end);
    if (i >= end || bytes[i] !== COLON) return ~i;
    const valueFrom = skipSpace(bytes, i + 1, end);
    i = scanValue(bytes, valueFrom, end, into.faults, depth + 1);
    if (i < 0) return i;
    const at = into.count++ * 4;
    if (at === spans.length) spans = into.grow();
    spans[at] = nameFrom;
    spans[at + 1] = nameTo;
    spans[at + 2] = valueFrom;
    spans[at + 3] = i;
    i = skipSpace(bytes, i, end);
    if (i >= end) return ~end;
    const next = bytes[i];
    if (next === CLOSE_BRACE) return i + 1;
    if (next !== COMMA) return ~i;
    i = skipSpace(bytes, i + 1, end);
  }
}

/** Scans one value of any kind at `from`; returns as `scanObject` does. */
export function scanValue(bytes: Uint8Array, from: number, end: number, faults: ScanFault[], depth = 0): number {
  if (from >= end) return ~end;
  const first = bytes[from];
  if (first === QUOTE) return skipString(bytes, from + 1, end);
  if (first === OPEN_BRACE || first === OPEN_BRACKET) return skipContainer(bytes, from, end, faults, depth);
  return skipScalar(bytes, from, end, faults);
}

/** The first offset from `i` on that is no JSON whitespace. */
export function skipSpace(bytes: Uint8Array, from: number, end: number): number {
  let i = from;
  while (i < end) {
    const c = bytes[i] as number;
    if (c > SPACE) return i;
    if (c !== SPACE && c !== 0x0a && c !== 0x0d && c !== 0x09) return i;
    i++;
  }
  return i;
}

/** `from` is behind the opening quote; the result behind the closing one. */
export function skipString(bytes: Uint8Array, from: number, end: number): number {
  let i = from;
  while (i < end) {
    const c = bytes[i] as number;
    if (c === QUOTE) return i + 1;
    if (c === BACKSLASH) {
      i = skipEscape(bytes, i, end);
      if (i < 0) return i;
    } else if (c < SPACE) {
      return ~i;
    } else {
      i++;
    }
  }
  return ~end;
}

/** Counts (and wraps), so that a caller can tell whether a string held escapes. */
let escapesSeen = 0;

function skipEscape(bytes: Uint8Array, from: number, end: number): number {
  escapesSeen = (escapesSeen + 1) | 0;
  if (from + 1 >= end) return ~end;
  const c = bytes[from + 1] as number;
  if (c !== 0x75) return SIMPLE_ESCAPES.includes(c) ? from + 2 : ~(from + 1);
  for (let i = from + 2; i < from + 6; i++) {
    if (i >= end) return ~end;
    if (!isHex(bytes[i] as number)) return ~i;
  }
  return from + 6;
}

const SIMPLE_ESCAPES = Buffer.from('"\\/bfnrt');

function isHex(c: number): boolean {
  return (c >= 0x30 && c <= 0x39) || (c >= 0x41 && c <= 0x46) || (c >= 0x61 && c <= 0x66);
}

/** 1 where the open container at that level is an object. Grows only for what is too deep anyway. */
let kinds = new Uint8Array(DEPTH_MAX + 1);
const KINDS_KEPT = 4 * 1024;

function skipContainer(bytes: Uint8Array, from: number, end: number, faults: ScanFault[], outer: number): number {
  if (kinds.length > KINDS_KEPT) kinds = new Uint8Array(DEPTH_MAX + 1);
  let level = 0;
  let i = from;
  for (;;) {
    // At an opening bracket.
    let isObject = bytes[i] === OPEN_BRACE;
    if (level === kinds.length) kinds = grown(kinds);
    kinds[level++] = isObject ? 1 : 0;
    if (level + outer === DEPTH_MAX + 1) addFault(faults, "too_deep", i);
    i = skipSpace(bytes, i + 1, end);
    if (i >= end) return ~end;
    let closed = bytes[i] === (isObject ? CLOSE_BRACE : CLOSE_BRACKET);
    for (;;) {
      if (closed) {
        i++;
        if (--level === 0) return i;
        isObject = kinds[level - 1] === 1;
      } else {
        if (isObject) {
          i = skipName(bytes, i, end);
          if (i < 0) return i;
        }
        if (i >= end) return ~end;
        const c = bytes[i] as number;
        if (c === OPEN_BRACE || c === OPEN_BRACKET) break;
        i = c === QUOTE ? skipString(bytes, i + 1, end) : skipScalar(bytes, i, end, faults);
        if (i < 0) return i;
      }
      // Behind a value.
      i = skipSpace(bytes, i, end);
      if (i >= end) return ~end;
      const next = bytes[i];
      closed = next === (isObject ? CLOSE_BRACE : CLOSE_BRACKET);
      if (closed) continue;
      if (next !== COMMA) return ~i;
      i = skipSpace(bytes, i + 1, end);
    }
  }
}

/** From a name's quote to its value. */
function skipName(bytes: Uint8Array, from: number, end: number): number {
  if (from >= end || bytes[from] !== QUOTE) return ~from;
  const behind = skipString(bytes, from + 1, end);
  if (behind < 0) return behind;
  const colon = skipSpace(bytes, behind, end);
  if (colon >= end || bytes[colon] !== COLON) return ~colon;
  return skipSpace(bytes, colon + 1, end);
}

function grown(array: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(array.length * 2);
  larger.set(array);
  return larger;
}

function skipScalar(bytes: Uint8Array, from: number, end: number, faults: ScanFault[]): number {
  const first = bytes[from] as number;
  if (first === 0x74) return skipLiteral(bytes, from, end, TRUE);
  if (first === 0x66) return skipLiteral(bytes, from, end, FALSE);
  if (first === 0x6e) return skipLiteral(bytes, from, end, NULL);
  return skipNumber(bytes, from, end, faults);
}

const TRUE = Buffer.from("true");
const FALSE = Buffer.from("false");
const NULL = Buffer.from("null");

function skipLiteral(bytes: Uint8Array, from: number, end: number, literal: Uint8Array): number {
  for (let k = 1; k < literal.length; k++) {
    if (from + k >= end) return ~end;
    if (bytes[from + k] !== literal[k]) return ~(from + k);
  }
  return from + literal.length;
}

/** A double has at most 309 digits before its point; shorter numbers without an exponent always fit. */
const DIGITS_ALWAYS_FIT = 308;

function skipNumber(bytes: Uint8Array, from: number, end: number, faults: ScanFault[]): number {
  let i = bytes[from] === 0x2d ? from + 1 : from;
  if (i >= end) return ~end;
  const whole = i;
  i = skipDigits(bytes, i, end);
  if (i === whole) return ~i;
  if (bytes[whole] === 0x30 && i > whole + 1) return ~(whole + 1);
  let mayOverflow = i - whole > DIGITS_ALWAYS_FIT;
  if (i < end && bytes[i] === 0x2e) {
    const fraction = i + 1;
    i = skipDigits(bytes, fraction, end);
    if (i === fraction) return ~i;
  }
  if (i < end && ((bytes[i] as number) | 0x20) === 0x65) {
    mayOverflow = true;
    i++;
    if (i < end && (bytes[i] === 0x2b || bytes[i] === 0x2d)) i++;
    const exponent = i;
    i = skipDigits(bytes, exponent, end);
    if (i === exponent) return ~i;
  }
  if (mayOverflow && !isFiniteNumber(bytes, from, i)) addFault(faults, "number_out_of_range", from);
  return i;
}

function skipDigits(bytes: Uint8Array, from: number, end: number): number {
  let i = from;
  while (i < end) {
    const c = bytes[i] as number;
    if (c < 0x30 || c > 0x39) return i;
    i++;
  }
  return i;
}

function isFiniteNumber(bytes: Uint8Array, from: number, to: number): boolean {
  return Number.isFinite(Number(Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString("latin1")));
}

function addFault(faults: ScanFault[], code: ScanFault["code"], offset: number): void {
  if (faults.length < FAULTS_MAX) faults.push({ code, offset });
}
