import { z } from "zod";
import { bytes, perSecond, bytesPerSecond } from "./units.ts";

const count = (min: number, max: number) => {
  const words = `must be a whole number between ${min} and ${max}`;
  return z.int(words).min(min, words).max(max, words);
};

/** A tenant's limits at the door. */
export const Quota = z
  .strictObject({
    events_per_second: perSecond({ min: 1, max: 100_000_000 })
      .optional()
      .describe("Events that may come in per second, in the long run. Each event of a batch counts."),
    burst: count(1, 1_000_000_000)
      .optional()
      .describe(
        "Events that may come at once after a pause, and the largest batch. At least `events_per_second`, which is the default.",
      ),
    bytes_per_second: bytesPerSecond({ min: "1KiB", max: "1TiB" })
      .optional()
      .describe("Bytes of request bodies per second, after decompression."),
    bytes_burst: bytes({ min: "1KiB", max: "1TiB" })
      .optional()
      .describe("Bytes that may come at once after a pause. At least `bytes_per_second`, which is the default."),
    requests: count(1, 1_000_000).optional().describe("Requests that may be under way at one time."),
    event_bytes_max: bytes({ min: "1KiB", max: "16MiB" })
      .optional()
      .describe("Largest single event of this tenant; counts if it is less than `limits.event_bytes_max`."),
    batch_events_max: count(1, 100_000)
      .optional()
      .describe("Most events in one batch of this tenant; counts if it is less than `limits.batch_events_max`."),
    backlog_events: count(1, 1_000_000_000)
      .optional()
      .describe("Accepted events that the slowest of the tenant's lanes may be behind (see `backlog` of a sink)."),
    backlog_bytes: bytes({ min: "1KiB", max: "1TiB" })
      .optional()
      .describe("The same in bytes, by the mean size of the tenant's events since the start."),
  })
  .superRefine((quota, context) => {
    requireRate(context, quota, ["events_per_second", "burst"]);
    requireRate(context, quota, ["bytes_per_second", "bytes_burst"]);
  });

type Names = readonly ["events_per_second", "burst"] | readonly ["bytes_per_second", "bytes_burst"];

function requireRate(
  context: z.RefinementCtx,
  quota: Readonly<Partial<Record<Names[number], number>>>,
  [rateName, burstName]: Names,
): void {
  const { [rateName]: rate, [burstName]: burst } = quota;
  if (burst === undefined) return;
  if (rate === undefined)
    context.addIssue({ code: "custom", path: [burstName], message: `needs ${rateName} beside it` });
  else if (burst < rate)
    context.addIssue({ code: "custom", path: [burstName], message: `must be at least ${rateName} (${rate})` });
}

export type ParsedQuota = z.output<typeof Quota>;
