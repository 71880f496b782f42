import { decodeEvent } from "../core/canonical/codec.ts";
import type { CanonicalEvent } from "../core/canonical/event.ts";
import { freshState } from "../core/ingestion/lane-state.ts";
import type { JobLane } from "../core/ingestion/jobs.ts";
import type { PreviewExample, PreviewRequest, SinkPreview } from "../core/ingestion/preview.ts";
import type { LogEntry } from "../core/ingestion/log.ts";
import type { TenantConfig } from "../core/ingestion/revision.ts";
import type { Prepared } from "./chain.ts";
import type { WorkerDeps } from "./deps.ts";
import { changesBetween } from "./event-diff.ts";
import { Pipelines } from "./pipelines.ts";
import { type ChainOutcome, pipelineOf, recordedOf, type Recorded } from "./preview-recorded.ts";
import { sourceOf } from "./job-role.ts";

/** Entries read and run in one go, between two breaths of the event loop. */
const STEP_EVENTS = 100;
const STEP_BYTES = 1 << 20;
/** Differences shown of one example. */
const CHANGES_MAX = 20;

export interface PreviewOptions {
  readonly deps: WorkerDeps;
  readonly request: PreviewRequest;
  /** As the running revision has it. */
  readonly tenant: TenantConfig;
}

type Tally = { -readonly [K in keyof SinkPreview]: SinkPreview[K] } & { examples: PreviewExample[] };

/**
 * Runs the selected events through today's transforms and routes and compares with what was recorded;
 * delivers nothing. Events that came out by a configuration that is today's are not run: they came out
 * as they would. Where content is to be compared, the earlier configuration is run as well.
 */
export async function previewLanes({ deps, request, tenant }: PreviewOptions): Promise<SinkPreview[]> {
  const pipelines = new Pipelines(deps, request.tenantId);
  const tallies = new Map<string, Tally>();
  try {
    for (const lane of request.lanes) {
      const { sink } = lane.lane;
      const tally = tallies.get(sink) ?? tallyOf(sink);
      tallies.set(sink, tally);
      await previewLane({ deps, request, tenant, pipelines, lane, tally });
    }
  } finally {
    await pipelines.close();
  }
  return [...tallies.values()];
}

function tallyOf(sink: string): Tally {
  const none = { events: 0, deliveredAnew: 0, filtered: 0, dead: 0, changed: 0, unknown: 0 };
  return { sink, ...none, isPartial: false, examples: [] };
}

interface LanePreview extends PreviewOptions {
  readonly pipelines: Pipelines;
  readonly lane: JobLane;
  readonly tally: Tally;
}

async function previewLane(preview: LanePreview): Promise<void> {
  const { deps, request, lane, tally } = preview;
  const order = { id: "preview", tenantId: request.tenantId, selection: request.selection, lanes: [], idleShare: 1 };
  const source = sourceOf({ deps, order, laneOrder: lane, state: freshState(lane.from) });
  for (let at = lane.from; at < lane.to; ) {
    const items = await source.read(at, { entries: STEP_EVENTS, bytes: STEP_BYTES });
    const last = items.at(-1);
    if (last === undefined) return;
    at = "to" in last ? last.to : last.sequence + 1;
    for (const entry of items) {
      if ("to" in entry) continue;
      if (tally.events >= request.eventsMax) {
        tally.isPartial = true;
        return;
      }
      tally.events += 1;
      await compare(preview, entry);
    }
    await deps.timers.pause(0);
  }
}

async function compare(preview: LanePreview, entry: LogEntry): Promise<void> {
  const { deps, lane, tally, tenant, request } = preview;
  const { sink, stream } = lane.lane;
  const recorded = await recordedOf(deps.log, lane.of ?? { stream, sink }, entry.sequence);
  if (recorded === undefined) return void (tally.unknown += 1);
  const before = request.earlier.find(({ revision }) => revision === recorded.revision)?.tenant;
  if (before !== undefined && pipelineOf(before, sink) === pipelineOf(tenant, sink)) return;
  const today = await preview.pipelines.run({ tenant, sink, bytes: entry.bytes });
  const past = recorded.outcome;
  const now = outcomeOf(today);
  if (past.type !== now.type || textOf(past) !== textOf(now)) return note(preview, { entry, recorded, now });
  if (now.type !== "passed" || !recorded.wasDelivered) return;
  if (before === undefined) return void (tally.unknown += 1);
  const earlier = await preview.pipelines.run({ tenant: before, sink, bytes: entry.bytes });
  if (earlier.type !== "ok" || today.type !== "ok") return void (tally.unknown += 1);
  const changes = changesBetween(plain(earlier.event), plain(today.event));
  if (changes.length > 0) note(preview, { entry, recorded, now, changes: changes.slice(0, CHANGES_MAX) });
}

function note(
  { tally, request, lane }: LanePreview,
  found: {
    readonly entry: LogEntry;
    readonly recorded: Recorded;
    readonly now: ChainOutcome;
    readonly changes?: PreviewExample["changes"];
  },
): void {
  const { entry, recorded, now, changes = [] } = found;
  if (changes.length > 0) tally.changed += 1;
  else if (now.type === "passed") tally.deliveredAnew += 1;
  else if (now.type === "filtered") tally.filtered += 1;
  else tally.dead += 1;
  if (tally.examples.length >= request.examplesMax) return;
  const { sequence } = entry;
  const { partition } = lane.lane.stream;
  const past = recorded.wasDelivered ? "delivered" : textOf(recorded.outcome);
  tally.examples.push({ eventId: idOf(entry), partition, sequence, recorded: past, today: textOf(now), changes });
}

function outcomeOf(prepared: Prepared): ChainOutcome {
  if (prepared.type === "ok") return { type: "passed" };
  if (prepared.type === "filtered") return { type: "filtered", reason: prepared.reason };
  return { type: "failed", stage: prepared.stage, code: prepared.code };
}

function textOf(outcome: ChainOutcome): string {
  if (outcome.type === "passed") return "delivered";
  return outcome.type === "filtered" ? `filtered: ${outcome.reason}` : `dead: ${outcome.stage} ${outcome.code}`;
}

function plain(event: CanonicalEvent): CanonicalEvent {
  return { ...event, payload: event.payload };
}

function idOf({ bytes }: LogEntry): string {
  try {
    return decodeEvent(bytes).event_id;
  } catch {
    return "";
  }
}
