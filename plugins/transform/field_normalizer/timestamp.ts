const ISO =
  /^(\d{4})-(\d{2})-(\d{2})(?:[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9})\d{0,9})?)? ?([Zz]|[+-]\d{2}:?\d{2})?)?$/;
const MAIL = /^(?:[A-Za-z]{3}, )?(\d{1,2}) ([A-Za-z]{3}) (\d{4}) (\d{2}):(\d{2})(?::(\d{2}))? (GMT|UTC?|[+-]\d{4})$/;
const COUNT = /^(-?)(\d{1,21})(?:\.(\d{1,9})\d{0,20})?$/;
const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
/** Digits after the point of a second that a unit counts. */
const PLACES = { s: 0, ms: 3, us: 6, ns: 9 } as const;
/** Below it a number is taken for seconds; times 1,000 for milliseconds, and so on: in seconds, the year 5138. */
const SECONDS_MAX = 10n ** 11n;
const NANOS = 1_000_000_000n;

export type Count = "auto" | keyof typeof PLACES;

export interface TimestampOptions {
  /** What a number counts since 1970. */
  readonly count: Count;
  /** `Z` or `+07:00`, for a text that states none. */
  readonly offset: string;
}

/**
 * RFC 3339 in UTC, with the digits of a second that the value has, nine at most, zeros at their end
 * left out. Takes a number's text, ISO 8601 and RFC 3339, and the form of mails and HTTP headers.
 * Undefined for anything else, and for years before 0 and after 9999.
 */
export function rfc3339(text: string, { count, offset }: TimestampOptions): string | undefined {
  const nanos = countedNanos(text, count) ?? isoNanos(text, offset) ?? mailNanos(text);
  return nanos === undefined ? undefined : written(nanos);
}

function countedNanos(text: string, count: Count): bigint | undefined {
  const match = COUNT.exec(text);
  if (match === null) return undefined;
  const [, sign, whole = "", fraction = ""] = match;
  const amount = BigInt(whole);
  const places = PLACES[count === "auto" ? unitOf(amount) : count];
  const digits = fraction.slice(0, 9 - places).padEnd(9 - places, "0");
  const nanos = amount * 10n ** BigInt(9 - places) + BigInt(digits === "" ? 0 : digits);
  return sign === "-" ? -nanos : nanos;
}

function unitOf(amount: bigint): keyof typeof PLACES {
  if (amount < SECONDS_MAX) return "s";
  if (amount < SECONDS_MAX * 1_000n) return "ms";
  return amount < SECONDS_MAX * 1_000_000n ? "us" : "ns";
}

function isoNanos(text: string, offset: string): bigint | undefined {
  const match = ISO.exec(text);
  if (match === null) return undefined;
  const [, year, month, day, hour = "0", minute = "0", second = "0", fraction = "", own] = match;
  return nanosOf({ year, month, day, hour, minute, second, fraction, offset: own ?? offset });
}

function mailNanos(text: string): bigint | undefined {
  const match = MAIL.exec(text);
  if (match === null) return undefined;
  const [, day, name = "", year, hour = "0", minute = "0", second = "0", zone = ""] = match;
  const month = String(MONTHS.indexOf(name.toLowerCase()) + 1);
  return nanosOf({ year, month, day, hour, minute, second, fraction: "", offset: /^[+-]/.test(zone) ? zone : "Z" });
}

interface Parts {
  readonly year: string | undefined;
  readonly month: string | undefined;
  readonly day: string | undefined;
  readonly hour: string;
  readonly minute: string;
  readonly second: string;
  readonly fraction: string;
  readonly offset: string;
}

function nanosOf(parts: Parts): bigint | undefined {
  const [year, month, day] = [Number(parts.year), Number(parts.month), Number(parts.day)];
  const [hour, minute, second] = [Number(parts.hour), Number(parts.minute), Number(parts.second)];
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  // A 31st of April has become the 1st of May. A leap second counts as the first of the next minute.
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day || hour > 23 || minute > 59 || second > 60)
    return undefined;
  const offset = offsetMinutes(parts.offset);
  if (offset === undefined) return undefined;
  const seconds = date.getTime() / 1_000 + (hour * 60 + minute - offset) * 60 + second;
  return BigInt(seconds) * NANOS + BigInt(parts.fraction.padEnd(9, "0"));
}

function offsetMinutes(text: string): number | undefined {
  if (/^z$/i.test(text)) return 0;
  const [hours, minutes] = [Number(text.slice(1, 3)), Number(text.slice(-2))];
  if (hours > 23 || minutes > 59) return undefined;
  return (text.startsWith("-") ? -1 : 1) * (hours * 60 + minutes);
}

function written(nanos: bigint): string | undefined {
  const rest = ((nanos % NANOS) + NANOS) % NANOS;
  const date = new Date(Number((nanos - rest) / 1_000_000n));
  const year = date.getUTCFullYear();
  if (!(year >= 0 && year <= 9_999)) return undefined;
  const fraction = String(rest).padStart(9, "0").replace(/0+$/, "");
  return `${date.toISOString().slice(0, 19)}${fraction === "" ? "" : `.${fraction}`}Z`;
}
