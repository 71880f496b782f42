import { isErrorCode } from "../core/canonical/errors.ts";
import type { Clock, Logger } from "../core/environment.ts";
import { readDocument } from "../core/ingestion/control.ts";
import type { Job } from "../core/ingestion/jobs.ts";
import type { IngestionLog, StreamKey } from "../core/ingestion/log.ts";
import { laneKey, streamKey } from "../core/ingestion/log.ts";

export interface RetentionOptions {
  readonly log: Pick<
    IngestionLog,
    "lanes" | "jobLanes" | "loadLane" | "dropLane" | "bounds" | "knownStreams" | "seek" | "trim" | "control"
  >;
  /** Those that have not ended: what they still want to deliver again stays. */
  readonly jobs: () => Promise<readonly Pick<Job, "lanes">[]>;
  readonly retentionMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

const INTERVAL_MS = 60_000;

/** Trims the log once a minute, whichever of its processes does it. Returns what stops it. */
export function startRetention(options: RetentionOptions): () => Promise<void> {
  const stopped = new AbortController();
  const loop = async () => {
    while (!stopped.signal.aborted) {
      await options.clock.sleep(INTERVAL_MS, stopped.signal);
      if (!stopped.signal.aborted) await trimInTurn(options).catch((error: unknown) => warn(options.logger, error));
    }
  };
  const done = loop();
  return async () => {
    stopped.abort();
    await done;
  };
}

const TURN = "retention";

/** Trims, unless another process did or does it in this round. */
export async function trimInTurn(options: Omit<RetentionOptions, "logger">): Promise<void> {
  const { log, clock } = options;
  const { value, version } = await readDocument<{ readonly at: number }>(log.control, TURN);
  if (value !== undefined && clock.now() - value.at < INTERVAL_MS / 2) return;
  try {
    await log.control.put(TURN, { at: clock.now() }, version);
  } catch (error) {
    if (isErrorCode(error, "version_conflict")) return;
    throw error;
  }
  await trimOnce(options);
}

/**
 * Lets go of events that are older than the retention, that every lane of their stream has settled and that
 * no job wants: where there is no lane, for want of a sink or because the tenant is gone, their age alone counts.
 */
export async function trimOnce(options: Omit<RetentionOptions, "logger">): Promise<void> {
  const { log, retentionMs, clock } = options;
  const before = clock.now() - retentionMs;
  // Jobs first: one that ends meanwhile holds back more than it must, never less.
  const held = await heldByJobs(options);
  const settled = settledByStream(await log.lanes());
  for (const stream of await log.knownStreams()) {
    const old = await log.seek(stream, before);
    const key = streamKey(stream);
    const wanted = Math.min(settled.get(key) ?? Number.POSITIVE_INFINITY, held.get(key) ?? Number.POSITIVE_INFINITY);
    await log.trim(stream, Math.min(wanted, old));
  }
  await forgetJobLanes(options);
}

/**
 * Forgets the lanes of jobs that have ended once all that they came to is gone from the log: there is nothing left
 * that they could tell of. One that has dead letters stays until those are redriven or discarded.
 */
async function forgetJobLanes({ log, jobs }: Pick<RetentionOptions, "log" | "jobs">): Promise<void> {
  // The lanes first: the job of one that is listed is known by then.
  const stored = await log.jobLanes();
  const wanted = new Set((await jobs()).flatMap(({ lanes }) => lanes.map(({ lane }) => laneKey(lane))));
  for (const { lane, state } of stored) {
    if (wanted.has(laneKey(lane)) || state.dead > 0) continue;
    if (state.cursor <= (await log.bounds(lane.stream)).first) await log.dropLane(lane);
  }
}

/** Stream → the first sequence that a job still needs. Dead letters hold their events themselves. */
async function heldByJobs({ log, jobs }: Pick<RetentionOptions, "log" | "jobs">): Promise<Map<StreamKey, number>> {
  const held = new Map<StreamKey, number>();
  for (const { lanes } of await jobs()) {
    for (const { lane, of, from, to } of lanes) {
      if (of !== undefined) continue;
      const at = (await log.loadLane(lane))?.cursor ?? from;
      const key = streamKey(lane.stream);
      if (at < to) held.set(key, Math.min(at, held.get(key) ?? at));
    }
  }
  return held;
}

/** Every lane has settled what lies before it; one whose sink is gone counts too: it goes on if the sink comes back. */
function settledByStream(lanes: Awaited<ReturnType<IngestionLog["lanes"]>>): Map<StreamKey, number> {
  const settled = new Map<StreamKey, number>();
  for (const { lane, state } of lanes) {
    const key = streamKey(lane.stream);
    settled.set(key, Math.min(settled.get(key) ?? Number.POSITIVE_INFINITY, state.cursor));
  }
  return settled;
}

function warn(logger: Logger, error: unknown): void {
  logger.warn({ error }, "the log could not be trimmed; it is tried again in a minute");
}
