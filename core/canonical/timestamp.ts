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
  const year = digits(text, 0, 4);
  const month = digits(text, 5, 2);
  const day = digits(text, 8, 2);
  const hour = digits(text, 11, 2);
  const minute = digits(text, 14, 2);
  const second = digits(text, 17, 2);
  if (year < 0 || month < 0 || day < 0 || hour < 0 || minute < 0 || second < 0) return FORM;
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

const FORM = "an RFC 3339 timestamp with a zone is required, like 2025-03-01T12:00:00Z";

function separatorsFit(text: string): boolean {
  const t = text.charCodeAt(10);
  return text[4] === "-" && text[7] === "-" && (t === 0x54 || t === 0x74) && text[13] === ":" && text[16] === ":";
}

/** The number that `count` digits stand for, or -1. */
function digits(text: string, from: number, count: number): number {
  let value = 0;
  for (let i = from; i < from + count; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (!(digit >= 0 && digit <= 9)) return -1;
    value = value * 10 + digit;
  }
  return value;
}

/** Where the fraction of a second ends; -1 when it has no digit. */
function fractionEnd(text: string): number {
  if (text[19] !== ".") return 19;
  let i = 20;
  while (digits(text, i, 1) >= 0) i++;
  return i === 20 ? -1 : i;
}

/** Minutes east of UTC, or undefined. */
function zoneAt(text: string, at: number): number | undefined {
  if (at < 0) return undefined;
  const sign = text[at];
  if (sign === "Z" || sign === "z") return text.length === at + 1 ? 0 : undefined;
  if ((sign !== "+" && sign !== "-") || text.length !== at + 6 || text[at + 3] !== ":") return undefined;
  const hours = digits(text, at + 1, 2);
  const minutes = digits(text, at + 4, 2);
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
