import { PulseGateError, type Violation } from "../canonical/errors.ts";
import { compileCondition, ConditionError } from "../router/condition.ts";
import { jobLaneId } from "./job-counts.ts";
import type { Job, JobLane, JobRate, JobSpec } from "./jobs.ts";
import { type LaneId, laneKey, type LaneStore, type LogReader, type Stream } from "./log.ts";
import type { TenantConfig } from "./revision.ts";

export interface PlanSources {
  readonly reader: Pick<LogReader, "bounds" | "seek">;
  readonly lanes: Pick<LaneStore, "lanes" | "jobLanes" | "deadLetters" | "deadLetterGroups" | "deadLetter">;
}

export type JobPlan = Pick<Job, "lanes" | "events" | "isEstimate">;

/** Letters that one job may name one by one. */
const LETTERS_MAX = 1_000;

/**
 * The lanes of a job, and how many events lie in their ranges; delivers nothing. Rejects with
 * `malformed_request`, naming all that is wrong, when the tenant's configuration does not fit.
 */
export async function planJob(
  sources: PlanSources,
  { id, spec, tenant }: { readonly id: string; readonly spec: JobSpec; readonly tenant: TenantConfig | undefined },
): Promise<JobPlan> {
  const violations = violationsOf(spec, tenant);
  if (violations.length > 0) throw new PulseGateError("malformed_request", "the job is not valid", { violations });
  const sinks = new Set(spec.sinks ?? tenant?.sinks.map((sink) => sink.id));
  if (spec.kind === "redrive") return planRedrive(sources, { id, spec, sinks });
  return planReplay(sources, { id, spec, sinks });
}

function violationsOf(spec: JobSpec, tenant: TenantConfig | undefined): Violation[] {
  const { kind, selection, sinks, canary } = spec;
  const found: Violation[] = [];
  const wrong = (pointer: string, detail: string) => found.push({ pointer, code: "invalid_format", detail });
  if (tenant === undefined) wrong("/tenant", `there is no tenant ${spec.tenantId}`);
  sinks?.forEach((sink, i) => {
    if (tenant?.sinks.some(({ id }) => id === sink) === false)
      wrong(`/sinks/${i}`, `tenant ${tenant.id} has no sink ${sink}`);
  });
  if (kind === "backfill" && sinks?.length !== 1) wrong("/sinks", "a backfill names the one sink that it fills");
  const { receivedFrom, receivedTo, positions, letters, deadLetters, filter } = selection;
  if (receivedFrom !== undefined && receivedTo !== undefined && receivedFrom >= receivedTo)
    wrong("/selection/received_to", "the time range is empty");
  positions?.forEach(({ partition, from, to }, i) => {
    if (from >= to) wrong(`/selection/positions/${i}`, "the range is empty");
    const isNamed = positions.slice(0, i).some((other) => other.partition === partition);
    if (isNamed) wrong(`/selection/positions/${i}/partition`, `partition ${partition} is named already`);
  });
  if (kind === "redrive" && positions !== undefined)
    wrong("/selection/positions", "a redrive names dead letters, not positions");
  if (kind !== "redrive" && (letters ?? deadLetters ?? canary) !== undefined)
    wrong("/kind", "dead letters and a canary are a redrive's");
  if (letters !== undefined && letters.length > LETTERS_MAX)
    wrong("/selection/letters", `at most ${LETTERS_MAX} letters can be named`);
  if (canary !== undefined && !isCanary(canary)) wrong("/canary", "events is at least 1, share above 0 and up to 1");
  if (!isRate(spec.rate)) wrong("/rate", "events_per_second is above 0; idle_share is above 0 and up to 1");
  const fault = filter === undefined ? undefined : conditionFault(filter);
  if (fault !== undefined) wrong("/selection/filter", fault);
  return found;
}

export function isRate(rate: JobRate): boolean {
  if ("eventsPerSecond" in rate) return rate.eventsPerSecond > 0 && Number.isFinite(rate.eventsPerSecond);
  return rate.idleShare > 0 && rate.idleShare <= 1;
}

function isCanary({ events, share }: NonNullable<JobSpec["canary"]>): boolean {
  return Number.isInteger(events) && events >= 1 && share > 0 && share <= 1;
}

function conditionFault(source: string): string | undefined {
  try {
    compileCondition(source);
    return undefined;
  } catch (error) {
    if (!(error instanceof ConditionError)) throw error;
    return `line ${error.line}, column ${error.column}: ${error.message}`;
  }
}

interface Planning {
  readonly id: string;
  readonly spec: JobSpec;
  readonly sinks: ReadonlySet<string>;
}

async function planReplay(sources: PlanSources, { id, spec, sinks }: Planning): Promise<JobPlan> {
  const { eventTypes, filter } = spec.selection;
  const stored = (await sources.lanes.lanes(spec.tenantId)).filter(({ lane }) => sinks.has(lane.sink));
  const lanes: JobLane[] = [];
  for (const { lane, state } of stored) {
    const range = await rangeOf(sources.reader, spec, lane.stream);
    // Behind the cursor is the live lane's own work; a backfill ends where that began.
    const to = Math.min(range.to, spec.kind === "backfill" ? state.start : state.cursor);
    if (range.from < to) lanes.push({ lane: jobLaneId(id, lane), from: range.from, to });
  }
  const events = lanes.reduce((sum, { from, to }) => sum + to - from, 0);
  return { lanes, events, isEstimate: eventTypes !== undefined || filter !== undefined };
}

async function rangeOf(
  reader: PlanSources["reader"],
  { selection }: JobSpec,
  stream: Stream,
): Promise<{ readonly from: number; readonly to: number }> {
  const { receivedFrom, receivedTo, positions } = selection;
  const { first, end } = await reader.bounds(stream);
  const from = receivedFrom === undefined ? first : Math.max(first, await reader.seek(stream, receivedFrom));
  const to = receivedTo === undefined ? end : await reader.seek(stream, receivedTo);
  if (positions === undefined) return { from, to };
  const named = positions.find(({ partition }) => partition === stream.partition);
  if (named === undefined) return { from: 0, to: 0 };
  return { from: Math.max(from, named.from), to: Math.min(to, named.to) };
}

async function planRedrive(sources: PlanSources, { id, spec, sinks }: Planning): Promise<JobPlan> {
  const { tenantId, selection } = spec;
  if (selection.letters !== undefined) return planNamed(sources, { id, spec, sinks });
  const { receivedFrom, receivedTo, deadLetters: kind } = selection;
  const stored = [...(await sources.lanes.lanes(tenantId)), ...(await sources.lanes.jobLanes(tenantId))];
  const lanes: JobLane[] = [];
  let events = 0;
  for (const { lane, state } of stored) {
    if (!sinks.has(lane.sink)) continue;
    const [first] = await sources.lanes.deadLetters({ ...kind, lane, receivedFrom, receivedTo, limit: 1 });
    if (first === undefined) continue;
    const groups = await sources.lanes.deadLetterGroups({ ...kind, lane, receivedFrom, receivedTo });
    events += groups.reduce((sum, group) => sum + group.events, 0);
    // The letter may have come after the cursor was read.
    const to = Math.max(state.cursor, first.sequence + 1);
    lanes.push(redriveLane(id, lane, { from: first.sequence, to }));
  }
  const { eventTypes, filter } = selection;
  return { lanes, events, isEstimate: eventTypes !== undefined || filter !== undefined };
}

async function planNamed({ lanes: store }: PlanSources, { id, spec, sinks }: Planning): Promise<JobPlan> {
  const byLane = new Map<string, { readonly lane: LaneId; readonly sequences: number[] }>();
  let events = 0;
  for (const { lane, sequence } of spec.selection.letters ?? []) {
    const isOurs = lane.stream.tenantId === spec.tenantId && sinks.has(lane.sink);
    if (!isOurs || (await store.deadLetter(lane, sequence)) === undefined) continue;
    events += 1;
    const key = laneKey(lane);
    const known = byLane.get(key);
    if (known === undefined) byLane.set(key, { lane, sequences: [sequence] });
    else known.sequences.push(sequence);
  }
  const lanes = [...byLane.values()].map(({ lane, sequences }) => {
    return redriveLane(id, lane, { from: Math.min(...sequences), to: Math.max(...sequences) + 1 });
  });
  return { lanes, events, isEstimate: false };
}

function redriveLane(id: string, of: LaneId, range: { readonly from: number; readonly to: number }): JobLane {
  return { lane: jobLaneId(id, of), of, ...range };
}
