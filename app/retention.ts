import type { Clock, Logger } from "../core/environment.ts";
import type { Job } from "../core/ingestion/jobs.ts";
import type { IngestionLog, StreamKey } from "../core/ingestion/log.ts";
import { streamKey } from "../core/ingestion/log.ts";

export interface RetentionOptions {
  readonly log: Pick<IngestionLog, "lanes" | "loadLane" | "knownStreams" | "seek" | "trim">;
  /** Those that have not ended: what they still want to deliver again stays. */
  readonly jobs: () => Promise<readonly Pick<Job, "lanes">[]>;
  readonly retentionMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

const INTERVAL_MS = 60_000;

/** Trims the log once a minute. Returns what stops it. */
export function startRetention(options: RetentionOptions): () => Promise<void> {
  const stopped = new AbortController();
  const loop = async () => {
    while (!stopped.signal.aborted) {
      await options.clock.sleep(INTERVAL_MS, stopped.signal);
      if (!stopped.signal.aborted) await trimOnce(options).catch((error: unknown) => warn(options.logger, error));
    }
  };
  const done = loop();
  return async () => {
    stopped.abort();
    await done;
  };
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
