import { z } from "zod";

/** What the answers look like; a test holds real answers to it. */

export const time = () => z.iso.datetime();
const count = () => z.int().min(0);

export function pageSchema(item: z.ZodType) {
  return z.strictObject({
    items: z.array(item),
    next: z.string().nullable().describe("For `after`; null at the end."),
  });
}

export function listSchema(item: z.ZodType) {
  return z.strictObject({ items: z.array(item) });
}

export const TenantView = z.strictObject({
  id: z.string(),
  partitions: count(),
  weight: z.number(),
  transforms: z.array(z.string()),
  sinks: z.array(z.string()).describe("Their ids, which name the lanes."),
  keys: count().describe("Keys that are let in now."),
});

export const KeySchema = z.strictObject({
  id: z.string(),
  origin: z.enum(["config", "api"]),
  state: z.enum(["active", "rotating", "revoked"]),
  created_at: time().optional(),
  created_by: z.string().optional(),
  overlap_ends_at: time().optional().describe("While rotating: the older secret is let in until then."),
  revoked_at: time().optional(),
});

export const NewKeySchema = KeySchema.extend({
  key: z.string().describe("The secret. It is shown this once and kept nowhere."),
});

export const SinkSchema = z.strictObject({
  tenant: z.string(),
  sink: z.string(),
  plugin: z.string(),
  breaker: z.enum(["closed", "open", "half_open"]).optional(),
  last_error: z.string().optional(),
});

export const SinkCheck = z.strictObject({
  ok: z.boolean(),
  reason: z.string().optional(),
  duration_ms: z.number(),
});

export const LaneSchema = z.strictObject({
  id: z.string(),
  tenant: z.string(),
  partition: count(),
  sink: z.string(),
  state: z
    .enum(["running", "paused", "orphan"])
    .describe("`orphan`: its sink is gone from the configuration, and it keeps its events until it is dropped."),
  start: count(),
  cursor: count().describe("One past the last settled sequence."),
  end: count(),
  lag_events: count(),
  dead: count().describe("Dead letters."),
  breaker: z.enum(["closed", "open", "half_open"]).optional(),
  retrying: count().optional(),
  parked: count()
    .optional()
    .describe("Events that have been read and wait for an earlier one of their key: the sink's `ordering`."),
  last_error: z.string().optional(),
  paused_by: z.string().optional(),
  paused_at: time().optional(),
  reason: z.string().optional().describe("Why it is paused."),
});

export const DroppedLaneSchema = z.strictObject({
  id: z.string(),
  given_up: count().describe("Events that it had not delivered."),
  dead: count().describe("Dead letters that are gone with it."),
});

export const AcceptedLossSchema = z.strictObject({
  shards: count().describe("Parts of the log's backend that had been emptied."),
  streams: count().describe("Streams whose events are gone."),
  lanes: count().describe("Lanes that had not delivered all of these events, or that are gone themselves."),
  events: count().describe("Undelivered events that are given up: `erased` in the ledger."),
});

export const StorageSchema = z.strictObject({
  items: z.array(
    z.strictObject({ tenant: z.string(), events: count(), bytes: count().describe("Of the stored events.") }),
  ),
  next: z.string().nullable().describe("For `after`; null at the end."),
  disk: z
    .strictObject({
      used_bytes: count(),
      full_at_bytes: count().optional().describe("There no more events are taken in."),
      bytes_max: count().optional().describe("`log.disk_bytes_max`."),
    })
    .optional(),
});

export const LedgerSchema = z.strictObject({
  lane: z.string(),
  tenant: z.string(),
  partition: count(),
  sink: z.string(),
  accepted: count(),
  delivered: count(),
  filtered: count(),
  filtered_by_reason: z.record(z.string(), count()),
  dead: count(),
  erased: count(),
  pending: count(),
  imbalance: z.int().describe("accepted − all the others; anything but 0 is a fault of PulseGate."),
});

export const DeadLetterSchema = z.strictObject({
  id: z.string(),
  tenant: z.string(),
  sink: z.string(),
  position: z.string(),
  event_id: z.string(),
  event_type: z.string(),
  received_at: time(),
  died_at: time(),
  stage: z.string(),
  code: z.string(),
  message: z.string(),
  fingerprint: z.string().describe("Equal for failures of one kind."),
  attempts: count(),
  config_revision: count(),
});

export const DeadLetterWhole = DeadLetterSchema.extend({
  response: z.string().optional(),
  attempts: z.array(z.strictObject({ at: time(), reason: z.string() })),
  plugins: z.record(z.string(), z.string()),
  event: z.unknown().optional().describe("As it was accepted, byte for byte."),
  event_base64: z.string().optional().describe("Instead of `event`, when the bytes are no JSON."),
});

export const GroupSchema = z.strictObject({
  tenant: z.string(),
  sink: z.string(),
  fingerprint: z.string(),
  stage: z.string(),
  code: z.string(),
  message: z.string().describe("Of the newest."),
  events: count(),
  first_at: time(),
  last_at: time(),
  event_types: z.record(z.string(), count()),
});

const RateSchema = z.union([
  z.strictObject({ idle_share: z.number() }),
  z.strictObject({ events_per_second: z.number() }),
]);

export const JobSchema = z.strictObject({
  id: z.string(),
  kind: z.enum(["replay", "redrive", "backfill"]),
  tenant: z.string(),
  state: z.enum(["planned", "running", "paused", "done", "failed", "cancelled"]),
  reason: z.string().optional(),
  selection: z.looseObject({}),
  sinks: z.array(z.string()).optional(),
  rate: RateSchema,
  canary: z
    .strictObject({
      events: count(),
      share: z.number(),
      state: z.enum(["running", "passed", "failed"]).optional(),
      tried: count().optional(),
      succeeded: count().optional(),
    })
    .optional(),
  lanes: z.array(z.strictObject({ lane: z.string(), from: count(), to: count() })),
  events: count().describe("As planned."),
  is_estimate: z.boolean().describe("Whether `events` counts events that the selection will pass over."),
  created_at: time(),
  created_by: z.string().optional(),
  started_at: time().optional(),
  ended_at: time().optional(),
  expires_at: time()
    .optional()
    .describe("When it is forgotten; sooner when it is not among its tenant's newest 1,000 that are over."),
  progress: z.strictObject({
    delivered: count(),
    filtered: count(),
    failed: count(),
    erased: count(),
    not_selected: count(),
    settled: count(),
    share: z.number(),
    events_per_second: z.number().optional(),
    eta_ms: z
      .number()
      .optional()
      .describe(
        "While it runs, how long it will take from here. Of a plan, how long in all: by its rate, else by the speed of the tenant's latest job of the kind; absent when there was none.",
      ),
    waiting: z
      .array(
        z.strictObject({
          sink: z.string(),
          stage: z.string().describe("What is waited for: the sink, or a transform that does not start."),
          code: z.string(),
          message: z.string().describe("What it said when the wait began."),
          since: time(),
          lanes: count(),
        }),
      )
      .describe("Why the job runs and does not get on; it goes on by itself. Empty when nothing holds it up."),
  }),
});

export const PreviewSchema = z.strictObject({
  sinks: z.array(
    z.strictObject({
      sink: z.string(),
      events: count().describe("Selected events that were looked at."),
      delivered_anew: count().describe("Not delivered then, and would be today."),
      filtered: count().describe("Filtered today, and not then, or for another reason."),
      dead: count().describe("A dead letter today, by a transform or the route, and not then."),
      changed: count().describe("Delivered then and today, with other content."),
      unknown: count().describe("Not compared: nothing is kept of then, or of the configuration then."),
      is_partial: z.boolean().describe("Whether more was selected than was looked at."),
      examples: z.array(
        z.strictObject({
          event_id: z.string(),
          position: z.string(),
          recorded: z.string(),
          today: z.string(),
          changes: z.array(
            z.strictObject({ path: z.string(), before: z.unknown().optional(), after: z.unknown().optional() }),
          ),
        }),
      ),
    }),
  ),
});

export const LaneAuditSchema = z.strictObject({
  lane: z.string(),
  tenant: z.string(),
  partition: count(),
  sink: z.string(),
  accepted: count(),
  delivered: count(),
  filtered: count(),
  dead: count(),
  erased: count(),
  pending: count(),
  faults: z.array(z.string()).describe("What does not agree with a recount; empty when all is well."),
});

export const FateSchema = z.strictObject({
  tenant: z.string(),
  event_id: z.string(),
  event_type: z.string(),
  position: z.string(),
  received_at: time(),
  trace_id: z.string().optional(),
  erased_at: time().optional(),
  lanes: z.array(
    z.looseObject({
      sink: z.string(),
      status: z.enum(["pending", "delivered", "filtered", "dead", "erased", "settled"]),
    }),
  ),
});

export const AuditSchema = z.strictObject({
  id: z.string(),
  at: time(),
  who: z.strictObject({ id: z.string(), role: z.string(), address: z.string().optional() }),
  action: z.string(),
  target: z.string(),
  tenant: z.string().optional(),
  reason: z.string().optional(),
  outcome: z.enum(["done", "failed", "unknown"]),
  error: z.string().optional(),
  before: z.unknown().optional(),
  after: z.unknown().optional(),
});

export const ProblemPlace = z.strictObject({
  file: z.string(),
  line: count(),
  column: count(),
  message: z.string(),
  hint: z.string().optional(),
});

export const ConfigSchema = z.strictObject({
  revision: count(),
  applied_at: time(),
  origin: z.enum(["file", "api"]),
  tenants: count(),
  refused: z.strictObject({ at: time(), problems: z.array(ProblemPlace) }).nullable(),
});

export const RevisionSchema = z.strictObject({
  number: count(),
  at: time(),
  origin: z.enum(["file", "api"]),
  by: z.string(),
});

export const PluginSchema = z.strictObject({
  name: z.string(),
  kind: z.enum(["transform", "sink"]),
  version: z.string(),
  summary: z.string(),
  source: z.string(),
  config: z.record(z.string(), z.unknown()).nullable(),
});

export const TrialSchema = z.strictObject({
  id: z.string(),
  tenants: z.array(z.string()),
  expires_at: time(),
});
