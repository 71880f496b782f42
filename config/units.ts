import { z } from "zod";

const DURATION = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/;
const BYTES = /^(\d+(?:\.\d+)?)(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?$/;
const BYTE_RATE = /^(\d+(?:\.\d+)?)(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?(\/s)?$/;
const DURATION_RANGE = /^(\d+(?:\.\d+)?(?:ms|s|m|h|d))\.\.(\d+(?:\.\d+)?(?:ms|s|m|h|d))$/;

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const UNIT_BYTES: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

const RATE = /^(\d+)(\/s)?$/;

const DURATION_ERROR = "expected a time with its unit, like 500ms, 30s, 5m, 2h or 7d";
const BYTES_ERROR = "expected a size, like 512KiB, 10MiB, 1GB or a whole number of bytes";
const RATE_ERROR = "expected events per second, like 1000/s or 1000";
const BYTE_RATE_ERROR = "expected bytes per second, like 10MiB/s or 512KiB";
const RANGE_ERROR = "expected a range of times, like 200ms..1m";

interface Bounds {
  readonly min: string;
  readonly max: string;
}

/** A time as text with its unit; parsed to milliseconds within the bounds, which are written the same way. */
export function duration({ min, max }: Bounds) {
  return z
    .string(DURATION_ERROR)
    .regex(DURATION, DURATION_ERROR)
    .transform(durationMs)
    .refine((ms) => ms >= durationMs(min) && ms <= durationMs(max), `must be between ${min} and ${max}`);
}

/** A size as text with its unit or a plain number; parsed to bytes within the bounds. */
export function bytes({ min, max }: Bounds) {
  return z
    .union([z.int(), z.string().regex(BYTES, BYTES_ERROR)], BYTES_ERROR)
    .transform((value) => (typeof value === "number" ? value : bytesOf(value)))
    .refine((size) => size >= bytesOf(min) && size <= bytesOf(max), `must be between ${min} and ${max}`);
}

/** A number of events per second, with or without `/s`. */
export function perSecond({ min, max }: { readonly min: number; readonly max: number }) {
  return z
    .union([z.int(), z.string().regex(RATE, RATE_ERROR)], RATE_ERROR)
    .transform((value) => (typeof value === "number" ? value : Number.parseInt(value, 10)))
    .refine((rate) => rate >= min && rate <= max, `must be between ${min}/s and ${max}/s`);
}

/** A size per second, with or without `/s`. */
export function bytesPerSecond({ min, max }: Bounds) {
  return z
    .union([z.int(), z.string().regex(BYTE_RATE, BYTE_RATE_ERROR)], BYTE_RATE_ERROR)
    .transform((value) => (typeof value === "number" ? value : bytesOf(value.replace(/\/s$/, ""))))
    .refine((size) => size >= bytesOf(min) && size <= bytesOf(max), `must be between ${min}/s and ${max}/s`);
}

/** Two times, `200ms..1m`; parsed to milliseconds, the first not above the second. */
export function durationRange({ min, max }: Bounds) {
  return z
    .string(RANGE_ERROR)
    .regex(DURATION_RANGE, RANGE_ERROR)
    .transform(rangeOf)
    .refine((range) => range.minMs <= range.maxMs, "the first time must not be longer than the second")
    .refine(
      (range) => range.minMs >= durationMs(min) && range.maxMs <= durationMs(max),
      `both times must be between ${min} and ${max}`,
    );
}

export function durationMs(text: string): number {
  const [, amount = "", unit = ""] = DURATION.exec(text) ?? [];
  return Math.round(Number(amount) * (UNIT_MS[unit] ?? Number.NaN));
}

export function bytesOf(text: string): number {
  const [, amount = "", unit = "B"] = BYTES.exec(text) ?? [];
  return Math.round(Number(amount) * (UNIT_BYTES[unit] ?? Number.NaN));
}

function rangeOf(text: string): { minMs: number; maxMs: number } {
  const [, from = "", to = ""] = DURATION_RANGE.exec(text) ?? [];
  return { minMs: durationMs(from), maxMs: durationMs(to) };
}
