import { InvalidArgumentError } from "commander";
import { timestampFault } from "../../core/canonical/timestamp.ts";

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of `90s`, `30m`, `6h`, `2d`. */
export function durationMs(text: string): number {
  const [, count = "", unit = ""] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  const factor = UNITS[unit];
  if (factor === undefined) throw new InvalidArgumentError("It must be a duration like 90s, 30m, 6h or 2d.");
  return Number(count) * factor;
}

/** RFC 3339 of a point in time: as it stands, or so long ago (`6h`). */
export function pointInTime(text: string): string {
  if (/^\d+[smhd]$/.test(text)) return new Date(Date.now() - durationMs(text)).toISOString();
  const fault = timestampFault(text);
  if (fault !== undefined)
    throw new InvalidArgumentError(`It must be a time like 2025-03-01T12:00:00Z, or 6h for six hours ago.`);
  return text;
}
