import { z } from "zod";
import { timestamp } from "../../core/canonical/codec.ts";
import { NAME_PATTERN } from "../../core/canonical/event.ts";
import { expiryOf } from "../../core/ingestion/job-retention.ts";
import type { Job, JobProgress, JobRate, JobSpec } from "../../core/ingestion/jobs.ts";
import { formatPosition, laneKey } from "../../core/ingestion/log.ts";
import type { SinkPreview } from "../../core/ingestion/preview.ts";
import { parseDeadLetterId, TimeInput } from "./input.ts";

/** How a job is asked for and shown: the same names in and out. */

const name = () => z.string().regex(NAME_PATTERN);

export const RateInput = z
  .strictObject({
    events_per_second: z.number().positive().optional().describe("At most so many events a second."),
    idle_share: z
      .number()
      .positive()
      .max(1)
      .optional()
      .describe("Of the time in which no live lane delivers: above 0, up to 1."),
  })
  .refine((rate) => (rate.events_per_second === undefined) !== (rate.idle_share === undefined), {
    error: "give events_per_second or idle_share",
  });

const Selection = z.strictObject({
  received_from: TimeInput.optional().describe("Accepted at this time or later."),
  received_to: TimeInput.optional().describe("Accepted before this time."),
  positions: z
    .array(z.strictObject({ partition: z.int().min(0), from: z.int().min(0), to: z.int().min(0) }))
    .max(64)
    .optional()
    .describe(
      "Not of a redrive. `from ≤ sequence < to`, one range a partition; those that are not named take no part.",
    ),
  event_types: z.array(name()).max(1_000).optional(),
  filter: z.string().max(10_000).optional().describe("A CEL condition on the event as it was accepted."),
  stage: z.string().max(200).optional().describe("Of a redrive: dead letters of this stage."),
  fingerprint: z.string().max(64).optional().describe("Of a redrive: dead letters of this group."),
  event_type: name().optional().describe("Of a redrive: dead letters of this event type."),
  letters: z
    .array(z.string().refine((id) => parseDeadLetterId(id) !== undefined, "not the id of a dead letter"))
    .max(1_000)
    .optional()
    .describe("Of a redrive: these dead letters alone."),
});

export const JobInput = z.strictObject({
  kind: z.enum(["replay", "redrive", "backfill"]),
  selection: Selection.default({}),
  sinks: z.array(name()).min(1).max(1_000).optional().describe("All of the tenant's when absent."),
  rate: RateInput.default({ idle_share: 1 }),
  canary: z
    .strictObject({
      events: z.int().min(1).max(1_000_000).describe("So many dead letters first."),
      share: z.number().positive().max(1).default(1).describe("The rest only if at least this share is delivered."),
    })
    .optional()
    .describe("Of a redrive."),
});

export const PreviewInput = JobInput.extend({
  examples: z.int().min(0).max(100).default(5).describe("So many differences of each sink are shown."),
});

export function previewView(tenantId: string, sinks: readonly SinkPreview[]) {
  return {
    sinks: sinks.map(({ deliveredAnew, isPartial, examples, ...counts }) => ({
      ...counts,
      delivered_anew: deliveredAnew,
      is_partial: isPartial,
      examples: examples.map(({ eventId, partition, sequence, ...example }) => ({
        event_id: eventId,
        position: formatPosition({ tenantId, partition }, sequence),
        ...example,
      })),
    })),
  };
}

export function jobSpecOf(
  input: z.output<typeof JobInput>,
  made: { readonly tenantId: string; readonly createdBy: string },
): JobSpec {
  const { kind, selection, sinks, rate, canary } = input;
  const { stage, fingerprint, event_type: eventType } = selection;
  const hasGroup = stage !== undefined || fingerprint !== undefined || eventType !== undefined;
  return {
    kind,
    tenantId: made.tenantId,
    createdBy: made.createdBy,
    sinks,
    rate: rateOf(rate),
    canary,
    selection: {
      receivedFrom: selection.received_from,
      receivedTo: selection.received_to,
      positions: selection.positions,
      eventTypes: selection.event_types,
      filter: selection.filter,
      deadLetters: hasGroup ? { stage, fingerprint, eventType } : undefined,
      letters: selection.letters?.flatMap((id) => parseDeadLetterId(id) ?? []),
    },
  };
}

export function rateOf(rate: z.output<typeof RateInput>): JobRate {
  return rate.events_per_second === undefined
    ? { idleShare: rate.idle_share ?? 1 }
    : { eventsPerSecond: rate.events_per_second };
}

export function jobView(job: Job, progress: JobProgress) {
  const { spec, canary } = job;
  return {
    id: job.id,
    kind: spec.kind,
    tenant: spec.tenantId,
    state: job.state,
    reason: job.reason,
    selection: selectionView(spec),
    sinks: spec.sinks,
    rate:
      "idleShare" in spec.rate ? { idle_share: spec.rate.idleShare } : { events_per_second: spec.rate.eventsPerSecond },
    canary: spec.canary === undefined ? undefined : { ...spec.canary, ...canary },
    lanes: job.lanes.map(({ lane, from, to }) => ({
      lane: laneKey({ stream: lane.stream, sink: lane.sink }),
      from,
      to,
    })),
    events: job.events,
    is_estimate: job.isEstimate,
    created_at: timestamp(job.createdAt),
    created_by: spec.createdBy,
    started_at: at(job.startedAt),
    ended_at: at(job.endedAt),
    expires_at: at(expiryOf(job)),
    progress: {
      delivered: progress.delivered,
      filtered: progress.filtered,
      failed: progress.failed,
      erased: progress.erased,
      not_selected: progress.notSelected,
      settled: progress.settled,
      share: progress.share,
      events_per_second: progress.eventsPerSecond,
      eta_ms: progress.etaMs,
      waiting: progress.waiting.map(({ since, ...wait }) => ({ ...wait, since: timestamp(since) })),
    },
  };
}

function selectionView({ selection }: JobSpec) {
  const { receivedFrom, receivedTo, positions, eventTypes, filter, deadLetters, letters } = selection;
  return {
    received_from: at(receivedFrom),
    received_to: at(receivedTo),
    positions,
    event_types: eventTypes,
    filter,
    stage: deadLetters?.stage,
    fingerprint: deadLetters?.fingerprint,
    event_type: deadLetters?.eventType,
    letters: letters?.map(({ lane, sequence }) => `${laneKey(lane)}/${sequence}`),
  };
}

function at(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : timestamp(ms);
}
