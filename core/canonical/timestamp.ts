const CHARS_MAX = 64;
const DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/**
 * Why a text is no RFC 3339 timestamp that PulseGate takes; undefined when it is one. Years 0001–9999,
 * as written and in UTC. A leap second is taken only where one can be: 23:59:60 UTC at the end of
 * June or December. `T` and `Z` may be lower case, as the RFC says; a space for `T` may not.
 */
export function timestampFault(text: string): string | undefined {
  if (text.length < "2025-03-01T12:00:00Z".length || text.length > CHARS_MAX) return FORM;
  if (!separatorsFit(text)) return FORM;
  const century = twoDigits(text, 0);
  const yearOfCentury = twoDigits(text, 2);
  const year = century * 100 + yearOfCentury;
  const month = twoDigits(text, 5);
  const day = twoDigits(text, 8);
  const hour = twoDigits(text, 11);
  const minute = twoDigits(text, 14);
  const second = twoDigits(text, 17);
  // Negative where one is: the sign bit outlasts the or.
  if ((century | yearOfCentury | month | day | hour | minute | second) < 0) return FORM;
  const zone = zoneAt(text, fractionEnd(text));
  if (zone === undefined) return FORM;
  if (year === 0) return "the year must be 0001–9999";
  if (month < 1 || month > 12) return "the month must be 01–12";
  if (day < 1 || day > daysIn(year, month)) return "the month does not have this day";
  if (hour > 23) return "the hour must be 00–23";
  if (minute > 59) return "the minute must be 00–59";
  if (second > 60) return "the second must be 00–60";
  // Wherever the zone is, the year stays within the bounds, and only a leap second is to be looked at.
  if (second < 60 && year > 1 && year < 9999) return undefined;
  return utcFault({ year, month, day, hour, minute, second }, zone);
}

/**
 * Whether there surely is no fault: nearly all timestamps are in UTC and before the 29th. The text need not be made
 * to tell, and looking at bytes costs less than looking at characters.
 */
export function isPlainTimestamp(bytes: Uint8Array, from: number, to: number): boolean {
  if (to - from < "2025-03-01T12:00:00Z".length || to - from > CHARS_MAX) return false;
  const hasMarks =
    bytes[from + 4] === DASH &&
    bytes[from + 7] === DASH &&
    bytes[from + 10] === UPPER_T &&
    bytes[from + 13] === COLON &&
    bytes[from + 16] === COLON &&
    bytes[to - 1] === UPPER_Z;
  if (!hasMarks) return false;
  const year = pairAt(bytes, from) * 100 + pairAt(bytes, from + 2);
  const month = pairAt(bytes, from + 5);
  const day = pairAt(bytes, from + 8);
  if (!(year > 1 && year < 9999 && month >= 1 && month <= 12 && day >= 1 && day <= 28)) return false;
  if (!(pairAt(bytes, from + 11) <= 23 && pairAt(bytes, from + 14) <= 59 && pairAt(bytes, from + 17) <= 59))
    return false;
  return to - from === 20 || isFraction(bytes, from + 19, to - 1);
}

/** The number that two digits stand for; 10,000 when they are none. */
function pairAt(bytes: Uint8Array, at: number): number {
  const tens = (bytes[at] as number) - 0x30;
  const ones = (bytes[at + 1] as number) - 0x30;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : 10_000;
}

function isFraction(bytes: Uint8Array, from: number, to: number): boolean {
  if (bytes[from] !== 0x2e || to === from + 1) return false;
  for (let i = from + 1; i < to; i++) if ((bytes[i] as number) < 0x30 || (bytes[i] as number) > 0x39) return false;
  return true;
}

const UPPER_T = 0x54;
const UPPER_Z = 0x5a;

const FORM = "an RFC 3339 timestamp with a zone is required, like 2025-03-01T12:00:00Z";

function separatorsFit(text: string): boolean {
  const isDate = text.charCodeAt(4) === DASH && text.charCodeAt(7) === DASH;
  // Lower case as well.
  return (
    isDate && (text.charCodeAt(10) | 0x20) === 0x74 && text.charCodeAt(13) === COLON && text.charCodeAt(16) === COLON
  );
}

const DASH = 0x2d;
const COLON = 0x3a;

/** The number that two characters stand for, or -1; the text must be so long. */
function twoDigits(text: string, from: number): number {
  const tens = text.charCodeAt(from) - 0x30;
  const ones = text.charCodeAt(from + 1) - 0x30;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : -1;
}

function isDigit(text: string, at: number): boolean {
  const digit = text.charCodeAt(at) - 0x30;
  return digit >= 0 && digit <= 9;
}

/** Where the fraction of a second ends; -1 when it has no digit. */
function fractionEnd(text: string): number {
  if (text[19] !== ".") return 19;
  let i = 20;
  while (isDigit(text, i)) i++;
  return i === 20 ? -1 : i;
}

/** Minutes east of UTC, or undefined. */
function zoneAt(text: string, at: number): number | undefined {
  if (at < 0) return undefined;
  const sign = text[at];
  if (sign === "Z" || sign === "z") return text.length === at + 1 ? 0 : undefined;
  if ((sign !== "+" && sign !== "-") || text.length !== at + 6 || text[at + 3] !== ":") return undefined;
  const hours = twoDigits(text, at + 1);
  const minutes = twoDigits(text, at + 4);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return undefined;
  return (sign === "+" ? 1 : -1) * (hours * 60 + minutes);
}

function daysIn(year: number, month: number): number {
  const leap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
  return month === 2 && leap ? 29 : (DAYS[month - 1] as number);
}

interface Fields {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
}

function utcFault(fields: Fields, zone: number): string | undefined {
  const { year, month, day, hour, minute, second } = fields;
  const utc = new Date(0);
  utc.setUTCFullYear(year, month - 1, day);
  utc.setUTCHours(hour, minute - zone, Math.min(second, 59));
  if (utc.getUTCFullYear() < 1 || utc.getUTCFullYear() > 9999) return "the year in UTC must be 0001–9999";
  if (second < 60) return undefined;
  const text = utc.toISOString();
  const possible = text.endsWith("23:59:59.000Z") && (text.includes("-06-30T") || text.includes("-12-31T"));
  return possible ? undefined : "there is no leap second at this time";
}
