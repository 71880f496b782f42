import { decodeEvent } from "../../core/canonical/codec.ts";
import { type DeadLetter, type LaneId, laneKey, type LaneState, type LogEntry } from "../../core/ingestion/log.ts";
import { ATTEMPTS, type SinkPlan, type TenantPlan } from "./plan.ts";
import type { Run } from "./run.ts";
import type { Outcome, Settled } from "./watched-log.ts";
import type { Target } from "./world.ts";

/** Beyond the target's own time: what delivery may still take after an outage. */
const RESUME_MS_MAX = 5_000;
/** Calls into an outage: the round that finds it, then probes that get rarer. */
const OUTAGE_CALLS_BASE = 12;
const OUTAGE_CALL_MS = 500;

/** What a lane is about to settle must have happened. Throws otherwise. */
export function checkSettled(run: Run, { lane, eventId, outcome, sequence }: Settled): void {
  const where = `${laneKey(lane)}/${sequence} (${eventId})`;
  if (outcome === "delivered" && !targetOf(run, lane).stored.has(eventId)) {
    throw new Error(`${where} is settled as delivered, and the target does not have it`);
  }
  const due = outcomeDue(run, lane, eventId);
  if (outcome !== due) throw new Error(`${where} is settled as ${outcome}, and should be ${due}`);
}

/**
 * Whether a sink comes to rest by itself: an event that fails like an outage can only be told from
 * one by the events that pass beside it.
 */
export function needsCompany(sink: SinkPlan): boolean {
  return [...sink.faults.values()].some(({ kind }) => kind === "retry" || kind === "throw" || kind === "hang");
}

/** All that must hold once a run has come to rest. Throws otherwise. */
export async function checkRun(run: Run): Promise<void> {
  for (const tenant of run.plan.tenants) {
    for (let partition = 0; partition < tenant.partitions; partition++) {
      for (const sink of tenant.sinks) {
        await checkLane(run, { stream: { tenantId: tenant.id, partition }, sink: sink.id });
      }
    }
    for (const sink of tenant.sinks) checkTarget(run, tenant, sink);
  }
}

async function checkLane(run: Run, lane: LaneId): Promise<void> {
  const { log, acked } = run;
  const state = await log.loadLane(lane);
  if (state === undefined) throw new Error(`${laneKey(lane)} was never opened`);
  if (state.start !== 0) throw new Error(`${laneKey(lane)} starts at ${state.start}: it owes its sink every event`);
  const entries = await log.read(lane.stream, 0, { entries: 1_000_000, bytes: 1 << 30 });
  const { ordering } = sinkOf(run, lane);
  const isCalm = run.plan.profile === "neighbour" && lane.stream.tenantId === "calm";
  if (isCalm && (ordering === undefined || ordering === "stream")) checkOrder(run, lane, entries);
  if (ordering !== undefined) checkKeys(run, lane, entries);
  const counts: Record<Outcome, number> = { delivered: 0, filtered: 0, dead: 0, erased: 0 };
  for (const { sequence, bytes } of entries.slice(0, state.cursor)) {
    const eventId = decodeEvent(bytes).event_id;
    const settlement = await log.settlement(lane, sequence);
    const exception = settlement?.exceptions.find(({ from, to }) => from <= sequence && sequence < to);
    if (settlement === undefined) throw new Error(`${laneKey(lane)}/${sequence} has no settlement`);
    const outcome = exception?.outcome ?? "delivered";
    counts[outcome]++;
    checkSettled(run, { lane, sequence, eventId, outcome });
    checkLetter(run, lane, { sequence, eventId, outcome, letter: await log.deadLetter(lane, sequence) });
  }
  checkLedger(lane, state, counts);
  const ids = new Set(entries.map(({ bytes }) => decodeEvent(bytes).event_id));
  if (ids.size !== entries.length) throw new Error(`${laneKey(lane)}: an event lies twice in the log`);
  for (const { id, tenantId, partition } of run.plan.events) {
    const own = tenantId === lane.stream.tenantId && partition === lane.stream.partition;
    if (own && acked.has(id) && !ids.has(id)) throw new Error(`${id} was acked and is not in the log`);
  }
}

/** Where nothing fails, the target gets the events in the log's order. */
function checkOrder(run: Run, lane: LaneId, entries: readonly LogEntry[]): void {
  const { stored } = targetOf(run, lane);
  const own = new Set(entries.map(({ bytes }) => decodeEvent(bytes).event_id));
  const order = [...stored.keys()].filter((id) => own.has(id));
  const due = [...own].filter((id) => stored.has(id));
  if (order.join() !== due.join()) throw new Error(`${laneKey(lane)}: the target has the events in another order`);
}

/**
 * Once the target has taken or refused an event, none before it of its key comes any more; only another
 * owner of the lane begins anew from its cursor, and then nothing is taken whose elders have not been.
 */
function checkKeys(run: Run, lane: LaneId, entries: readonly LogEntry[]): void {
  const isByKey = sinkOf(run, lane).ordering !== "stream";
  const keys = new Map(run.plan.events.map(({ id, key }) => [id, key]));
  const lines = new Map<string, string[]>();
  for (const id of entries.map(({ bytes }) => decodeEvent(bytes).event_id)) {
    const key = isByKey ? keys.get(id) : "all";
    if (key !== undefined) lines.set(key, [...(lines.get(key) ?? []), id]);
  }
  const { tries } = targetOf(run, lane);
  for (const line of lines.values()) {
    const places = new Map(line.map((id, place) => [id, place]));
    const done = new Set<string>();
    let furthest = -1;
    for (const { id, end } of tries) {
      const place = places.get(id);
      if (place === undefined) continue;
      if (!run.plan.moves && place < furthest) throw new Error(`${laneKey(lane)}: ${id} came after ${line[furthest]}`);
      if (end === "retry") continue;
      furthest = Math.max(furthest, place);
      done.add(id);
      const missing = line
        .slice(0, place)
        .find((other) => !done.has(other) && outcomeDue(run, lane, other) === "delivered");
      if (missing !== undefined) throw new Error(`${laneKey(lane)}: ${id} came before ${missing}`);
    }
  }
}

function checkLetter(
  run: Run,
  lane: LaneId,
  found: { sequence: number; eventId: string; outcome: Outcome; letter: DeadLetter | undefined },
): void {
  const { sequence, eventId, outcome, letter } = found;
  const where = `${laneKey(lane)}/${sequence} (${eventId})`;
  if ((outcome === "dead") !== (letter !== undefined))
    throw new Error(`${where}: is ${outcome}, letter: ${letter?.code}`);
  if (letter === undefined) return;
  if (letter.eventId !== eventId) throw new Error(`${where}: the letter is of ${letter.eventId}`);
  const kind = sinkOf(run, lane).faults.get(eventId)?.kind;
  if (letter.stage.startsWith("transform") && tenantOf(run, lane).transform.get(eventId)?.kind === "retry") {
    if (letter.attempts.length !== ATTEMPTS) throw new Error(`${where} died after ${letter.attempts.length} attempts`);
  }
  const tried = letter.stage.startsWith("sink") && (kind === "retry" || kind === "throw" || kind === "hang");
  // Failures in an outage are noted as well, so there may be more; an attempt burned in an outage would make fewer.
  if (tried && letter.attempts.length < ATTEMPTS)
    throw new Error(`${where} died after ${letter.attempts.length} attempts`);
}

function checkLedger(lane: LaneId, state: LaneState, counts: Record<Outcome, number>): void {
  const filtered = Object.values(state.filtered).reduce((sum, count) => sum + count, 0);
  const stated = { delivered: state.delivered, filtered, dead: state.dead, erased: state.erased };
  if (JSON.stringify(stated) !== JSON.stringify(counts)) {
    throw new Error(
      `${laneKey(lane)}: the ledger says ${JSON.stringify(stated)}, the settlements ${JSON.stringify(counts)}`,
    );
  }
}

function checkTarget(run: Run, tenant: TenantPlan, sink: SinkPlan): void {
  const target = targetOf(run, { stream: { tenantId: tenant.id, partition: 0 }, sink: sink.id });
  for (const id of target.stored.keys()) {
    const due = outcomeDue(run, { stream: { tenantId: tenant.id, partition: 0 }, sink: sink.id }, id);
    const taken = target.taken.get(id) ?? 0;
    if (taken > 1 && !run.plan.moves) throw new Error(`${tenant.id}/${sink.id} took ${id} ${taken} times`);
    if (due !== "delivered") throw new Error(`${tenant.id}/${sink.id} has ${id}, which should be ${due}`);
  }
  if (run.plan.profile === "neighbour" && tenant.id === "calm") checkSchedule(run, tenant, sink, target);
  if (run.plan.profile === "outage") checkOutages(sink, target);
}

/** A tenant whose own target is well waits at most for the batches before its event, whatever its neighbour suffers. */
function checkSchedule(run: Run, tenant: TenantPlan, sink: SinkPlan, target: Target): void {
  // One batch is out when the event comes; a burst fills batches by halves, as the window lets it in.
  const fairMs = sink.batch.lingerMs + sink.latencyMs * (3 + 2 * burstRounds(run, tenant, sink));
  for (const { id, tenantId } of run.plan.events) {
    const storedAt = target.stored.get(id);
    const ackedAt = run.acked.get(id);
    if (tenantId !== tenant.id || storedAt === undefined || ackedAt === undefined) continue;
    const lateMs = storedAt - ackedAt;
    if (lateMs > fairMs) throw new Error(`${id} of the calm tenant came ${lateMs} ms after its ack, not ${fairMs}`);
  }
}

/** How many batches the largest backlog of a healthy lane may make: events of about the same time. */
function burstRounds(run: Run, tenant: TenantPlan, sink: SinkPlan): number {
  const batchMax = sink.batches ? sink.batch.eventsMax : Math.min(16, sink.batch.eventsMax);
  // Those of one key may have to go one by one.
  const perRound = sink.ordering === undefined ? Math.min(batchMax, sink.windowEvents) : 1;
  const times = run.plan.events.filter(({ tenantId }) => tenantId === tenant.id).map(({ at }) => at);
  let most = 0;
  for (const time of times) {
    most = Math.max(most, times.filter((other) => other <= time && other > time - 40 * sink.latencyMs).length);
  }
  return Math.ceil(most / perRound);
}

function checkOutages({ outages }: SinkPlan, target: Target): void {
  for (const { from, to } of outages) {
    // Calls of one instant are one round: a sink without batches is called for each event.
    const during = new Set(target.calls.filter(({ at, out }) => out && at >= from && at < to).map(({ at }) => at)).size;
    const fair = OUTAGE_CALLS_BASE + Math.ceil((to - from) / OUTAGE_CALL_MS);
    if (during > fair) throw new Error(`the target was tried ${during} times in ${to - from} ms of outage`);
    const next = target.calls.find(({ at, out }) => at >= to && !out);
    const overlaps = outages.some((other) => other.from <= to + RESUME_MS_MAX && other.to > to);
    const waiting = target.calls.some(({ at, out }) => out && at >= from && at < to);
    if (!waiting || overlaps || next === undefined) continue;
    if (next.at - to > RESUME_MS_MAX) throw new Error(`delivery resumed ${next.at - to} ms after the outage`);
  }
}

/** What the plan makes of an event on a lane; the order is that of the pipeline. */
function outcomeDue(run: Run, lane: LaneId, eventId: string): Outcome {
  const transform = tenantOf(run, lane).transform.get(eventId)?.kind;
  if (transform === "drop") return "filtered";
  if (transform !== undefined && transform !== "transient") return "dead";
  const fault = sinkOf(run, lane).faults.get(eventId)?.kind;
  return fault === undefined || fault === "transient" || fault === "lost_answer" ? "delivered" : "dead";
}

function tenantOf({ plan }: Run, { stream }: LaneId): TenantPlan {
  const tenant = plan.tenants.find(({ id }) => id === stream.tenantId);
  if (tenant === undefined) throw new Error(`no tenant ${stream.tenantId}`);
  return tenant;
}

function sinkOf(run: Run, lane: LaneId): SinkPlan {
  const sink = tenantOf(run, lane).sinks.find(({ id }) => id === lane.sink);
  if (sink === undefined) throw new Error(`no sink ${lane.sink}`);
  return sink;
}

function targetOf({ world }: Run, { stream, sink }: LaneId): Target {
  const target = world.targets.get(`${stream.tenantId}/${sink}`);
  if (target === undefined) throw new Error(`no target ${sink}`);
  return target;
}
