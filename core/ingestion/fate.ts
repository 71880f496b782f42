import { decodeEvent } from "../canonical/codec.ts";
import { timestamp } from "../canonical/codec.ts";
import { FAILED_AGAIN, jobOf, NOT_SELECTED } from "./jobs.ts";
import type { Amendment, LaneId, LaneState, LaneStore, LogEntry, LogReader, Position, Settlement } from "./log.ts";
import { formatPosition, parsePosition } from "./log.ts";

/** The whole story of one accepted event, as it is told over every API. */
export interface Fate {
  readonly event_id: string;
  readonly event_type: string;
  readonly position: string;
  readonly received_at: string;
  readonly trace_id?: string | undefined;
  /** When its payload was erased. */
  readonly erased_at?: string | undefined;
  /** One for each lane that the event belongs to, ordered by sink. */
  readonly lanes: readonly LaneFate[];
}

export interface LaneFate {
  readonly sink: string;
  /** `settled`: done with, and what exactly is no longer kept. */
  readonly status: "pending" | "delivered" | "filtered" | "dead" | "erased" | "settled";
  /** Why it was filtered. */
  readonly reason?: string | undefined;
  readonly settled_at?: string | undefined;
  readonly config_revision?: number | undefined;
  /** Tries before it was given up. */
  readonly attempts?: number | undefined;
  readonly dead_letter?: { readonly stage: string; readonly code: string; readonly message: string } | undefined;
  /** The event was given up at first; `status` is what became of it by a redrive, a discard or an erasure. */
  readonly amended?: { readonly at: string; readonly job?: string | undefined } | undefined;
  /** The jobs that came to this event, ordered by time. */
  readonly jobs?: readonly JobFate[] | undefined;
}

/** What a replay, redrive or backfill made of the event. */
export interface JobFate {
  readonly job: string;
  /** `failed`: a redrive failed again, or a replay gave the event up. */
  readonly status: "delivered" | "filtered" | "failed" | "erased";
  readonly reason?: string | undefined;
  readonly at: string;
  readonly config_revision: number;
}

export interface FateSources {
  readonly reader: Pick<LogReader, "find" | "read">;
  readonly lanes: Pick<LaneStore, "lanes" | "jobLanes" | "settlement" | "deadLetter" | "amendment">;
}

/**
 * What became of a tenant's event, asked for by event id or by position; undefined when this tenant
 * has no such event in the log (any more).
 */
export async function fateOf(sources: FateSources, tenantId: string, idOrPosition: string): Promise<Fate | undefined> {
  const position = await locate(sources.reader, tenantId, idOrPosition);
  if (position === undefined) return undefined;
  const entry = await entryAt(sources.reader, position);
  if (entry === undefined) return undefined;
  const event = decodeEvent(entry.bytes);
  return {
    event_id: event.event_id,
    event_type: event.event_type,
    position: formatPosition(position.stream, position.sequence),
    received_at: event.received_at,
    trace_id: event.trace_id,
    erased_at: entry.erasedAt === undefined ? undefined : timestamp(entry.erasedAt),
    lanes: await laneFates(sources.lanes, position),
  };
}

/** Ids go first: a client may have chosen one that looks like a position. */
async function locate(
  reader: FateSources["reader"],
  tenantId: string,
  idOrPosition: string,
): Promise<Position | undefined> {
  const found = await reader.find(tenantId, idOrPosition);
  if (found !== undefined) return found;
  const position = parsePosition(idOrPosition);
  return position?.stream.tenantId === tenantId ? position : undefined;
}

async function entryAt(reader: FateSources["reader"], { stream, sequence }: Position): Promise<LogEntry | undefined> {
  const [entry] = await reader.read(stream, sequence, { entries: 1, bytes: 1 });
  // Of a trimmed position the reader gives the next that is left.
  return entry?.sequence === sequence ? entry : undefined;
}

async function laneFates(lanes: FateSources["lanes"], { stream, sequence }: Position): Promise<LaneFate[]> {
  const isOwn = ({ lane, state }: Stored) => lane.stream.partition === stream.partition && state.start <= sequence;
  const own = (await lanes.lanes(stream.tenantId)).filter(isOwn);
  const ofJobs = (await lanes.jobLanes(stream.tenantId)).filter((one) => isOwn(one) && sequence < one.state.cursor);
  const fates = await Promise.all(
    own.map(async ({ lane, state }) => {
      const fate = await laneFate(lanes, lane, { state, sequence });
      const jobs = await jobFates(
        lanes,
        ofJobs.filter((one) => one.lane.sink === lane.sink),
        sequence,
      );
      return jobs.length === 0 ? fate : { ...fate, jobs };
    }),
  );
  return fates.sort((a, b) => (a.sink < b.sink ? -1 : 1));
}

interface Stored {
  readonly lane: LaneId;
  readonly state: LaneState;
}

async function laneFate(
  lanes: FateSources["lanes"],
  lane: LaneId,
  { state, sequence }: { state: LaneState; sequence: number },
): Promise<LaneFate> {
  const { sink } = lane;
  if (sequence >= state.cursor) return { sink, status: "pending" };
  const settlement = await lanes.settlement(lane, sequence);
  if (settlement === undefined) return { sink, status: "settled" };
  const settled = { settled_at: timestamp(settlement.settledAt), config_revision: settlement.configRevision };
  const exception = exceptionOf(settlement, sequence);
  if (exception === undefined) return { sink, status: "delivered", ...settled };
  if (exception.outcome === "filtered") return { sink, status: "filtered", reason: exception.reason, ...settled };
  if (exception.outcome === "erased") return { sink, status: "erased", ...settled };
  const amendment = await lanes.amendment(lane, sequence);
  if (amendment !== undefined) return { sink, ...settled, ...amendedFate(amendment) };
  return { sink, status: "dead", ...settled, ...(await deadLetterOf(lanes, lane, sequence)) };
}

function amendedFate({ outcome, at, job, configRevision }: Amendment): Pick<LaneFate, "status" | "reason" | "amended"> {
  const amended = { at: timestamp(at), job: job === undefined ? undefined : jobOf({ job }) };
  const revision = configRevision === undefined ? {} : { config_revision: configRevision };
  if (outcome.type === "filtered") return { status: "filtered", reason: outcome.reason, ...revision, amended };
  return { status: outcome.type, ...revision, amended };
}

async function jobFates(lanes: FateSources["lanes"], ofJobs: readonly Stored[], sequence: number): Promise<JobFate[]> {
  const fates = await Promise.all(ofJobs.map(({ lane }) => jobFate(lanes, lane, sequence)));
  return fates.flatMap((fate) => fate ?? []).sort((a, b) => (a.at < b.at ? -1 : 1));
}

async function jobFate(lanes: FateSources["lanes"], lane: LaneId, sequence: number): Promise<JobFate | undefined> {
  const settlement = await lanes.settlement(lane, sequence);
  if (settlement === undefined) return undefined;
  const { settledAt, configRevision: config_revision } = settlement;
  const base = { job: jobOf(lane) ?? "", at: timestamp(settledAt), config_revision };
  const exception = exceptionOf(settlement, sequence);
  if (exception === undefined) return { ...base, status: "delivered" };
  if (exception.outcome === "erased") return { ...base, status: "erased" };
  if (exception.outcome === "dead" || exception.reason === FAILED_AGAIN) return { ...base, status: "failed" };
  if (exception.reason === NOT_SELECTED) return undefined;
  return { ...base, status: "filtered", reason: exception.reason };
}

function exceptionOf(settlement: Settlement, sequence: number): Settlement["exceptions"][number] | undefined {
  return settlement.exceptions.find(({ from, to }) => from <= sequence && sequence < to);
}

async function deadLetterOf(lanes: FateSources["lanes"], lane: LaneId, sequence: number): Promise<Partial<LaneFate>> {
  const letter = await lanes.deadLetter(lane, sequence);
  // Dead letters may be redriven or discarded; that the event died stays in the settlement.
  if (letter === undefined) return {};
  const { stage, code, message, attempts } = letter;
  return { attempts: attempts.length, dead_letter: { stage, code, message } };
}
