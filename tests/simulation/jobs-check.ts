import { decodeEvent } from "../../core/canonical/codec.ts";
import type { JobControl } from "../../core/ingestion/job-control.ts";
import { type Job, type JobLane, NOT_SELECTED } from "../../core/ingestion/jobs.ts";
import { auditLane, ledgerOf } from "../../core/ingestion/ledger.ts";
import { type LaneId, laneKey, type SettlementException } from "../../core/ingestion/log.ts";
import { DROPPED_OLDEST } from "../../core/ingestion/retention.ts";
import type { MemoryLog } from "../../drivers/memory/index.ts";
import type { CanonicalEvent } from "../../plugins/contract.ts";
import type { SimClock } from "../helpers/sim-clock.ts";
import { isDropped, type JobWorld } from "./jobs-world.ts";

export interface JobRun {
  readonly log: MemoryLog;
  readonly control: JobControl;
  readonly world: JobWorld;
  readonly clock: SimClock;
}

/** All that must hold once a run has come to rest. Throws otherwise. */
export async function checkJobs(run: JobRun): Promise<void> {
  let done = false;
  const checked = check(run).finally(() => (done = true));
  // A log with delays answers as time passes.
  void run.clock.runUntil(() => done, 60_000).catch(() => undefined);
  await checked;
}

async function check(run: JobRun): Promise<void> {
  const { log, control } = run;
  const lanes = [...(await log.lanes()), ...(await log.jobLanes())];
  for (const { lane } of lanes) await checkLane(run, lane);
  for (const { lane, imbalance } of await ledgerOf({ reader: log, lanes: log }))
    if (imbalance !== 0) throw new Error(`the ledger of ${laneKey(lane)} is off by ${imbalance}`);
  for (const { job } of await control.list()) {
    if (job.state === "done") for (const lane of job.lanes) await checkJobLane(run, job, lane);
  }
}

async function checkLane({ log }: JobRun, lane: LaneId): Promise<void> {
  const faults = (await auditLane({ reader: log, lanes: log }, lane))?.faults ?? ["it is not there"];
  // Of a job's lane what lies behind its cursor is not its own.
  const own = faults.filter((fault) => lane.job === undefined || !fault.startsWith("pending"));
  if (own.length > 0) throw new Error(`${laneKey(lane)}: ${own.join("; ")}`);
}

/** Every event of a done job's range was delivered by it, dropped by a transform, given up, or not selected. */
async function checkJobLane(run: JobRun, job: Job, { lane, of, from, to }: JobLane): Promise<void> {
  const { log, world } = run;
  const state = await log.loadLane(lane);
  const { first } = await log.bounds(lane.stream);
  // Forgotten with the last of its events.
  if (state === undefined && to <= first) return;
  if (state?.cursor !== to) throw new Error(`${job.id} is done, and ${laneKey(lane)} is at ${state?.cursor} of ${to}`);
  for (let sequence = from; sequence < to; sequence++) {
    const where = `${laneKey(lane)}/${sequence}`;
    const settlement = await log.settlement(lane, sequence);
    if (settlement === undefined) throw new Error(`${where} was not settled`);
    const exception = settlement.exceptions.find((one) => one.from <= sequence && sequence < one.to);
    const [entry] = await log.read(lane.stream, sequence, { entries: 1, bytes: 1 });
    if (entry?.sequence !== sequence || of !== undefined) continue;
    if (exception?.outcome === "erased" && entry.erasedAt === undefined)
      throw new Error(`${where} is erased, and it is there`);
    // The rest of it is not known any more, or never was: what was to be dropped is still there if that failed.
    if (entry.erasedAt !== undefined) continue;
    if (exception?.outcome === "filtered" && exception.reason === DROPPED_OLDEST) continue;
    checkEvent({ where, job, event: decodeEvent(entry.bytes), exception, isAfter: isAfter(job, entry.receivedAt) });
    const id = decodeEvent(entry.bytes).event_id;
    if (exception === undefined && !world.wasDelivered(lane.sink, id, job.id))
      throw new Error(`${where} counts as delivered, and the sink does not have it from the job`);
  }
}

function isAfter({ spec }: Job, receivedAt: number): boolean {
  return receivedAt >= (spec.selection.receivedFrom ?? 0);
}

function checkEvent(found: {
  readonly where: string;
  readonly job: Job;
  readonly event: CanonicalEvent;
  readonly exception: SettlementException | undefined;
  readonly isAfter: boolean;
}): void {
  const { where, job, event, exception } = found;
  const divisor = Number(/% (\d+)/.exec(job.spec.selection.filter ?? "% 1")?.[1]);
  const isSelected = found.isAfter && Number(event.event_id.slice(1)) % divisor === 0;
  const wasSelected = exception?.outcome !== "filtered" || exception.reason !== NOT_SELECTED;
  if (isSelected !== wasSelected) throw new Error(`${where} (${event.event_id}) selected: ${wasSelected}`);
  if (!isSelected || exception?.outcome === "erased") return;
  const isFiltered = exception?.outcome === "filtered";
  if (isFiltered !== isDropped(event)) throw new Error(`${where} (${event.event_id}) filtered: ${isFiltered}`);
}
