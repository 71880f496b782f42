import type { Clock, Logger } from "../core/environment.ts";
import type { IngestionLog, Stream } from "../core/ingestion/log.ts";
import { streamKey } from "../core/ingestion/log.ts";
import type { TenantConfig } from "../core/ingestion/revision.ts";

export interface RetentionOptions {
  readonly log: Pick<IngestionLog, "lanes" | "seek" | "trim">;
  /** The running revision's: streams that no lane reads are trimmed by age alone. */
  readonly tenants: () => readonly TenantConfig[];
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

/** Lets go of events that are older than the retention and that every lane of their stream has settled. */
export async function trimOnce({ log, tenants, retentionMs, clock }: Omit<RetentionOptions, "logger">): Promise<void> {
  const before = clock.now() - retentionMs;
  for (const { stream, settled } of settledByStream(tenants(), await log.lanes())) {
    const old = await log.seek(stream, before);
    await log.trim(stream, Math.min(settled, old));
  }
}

interface Settled {
  readonly stream: Stream;
  /** Every lane has settled what lies before it. */
  readonly settled: number;
}

function settledByStream(
  tenants: readonly TenantConfig[],
  lanes: Awaited<ReturnType<IngestionLog["lanes"]>>,
): Iterable<Settled> {
  const streams = new Map<string, Settled>();
  for (const { id, partitions } of tenants) {
    for (let partition = 0; partition < partitions; partition++) {
      const stream = { tenantId: id, partition };
      streams.set(streamKey(stream), { stream, settled: Number.POSITIVE_INFINITY });
    }
  }
  // A lane whose sink was taken out of the configuration still counts: it goes on if the sink comes back.
  for (const { lane, state } of lanes) {
    const key = streamKey(lane.stream);
    const settled = Math.min(streams.get(key)?.settled ?? Number.POSITIVE_INFINITY, state.cursor);
    streams.set(key, { stream: lane.stream, settled });
  }
  return streams.values();
}

function warn(logger: Logger, error: unknown): void {
  logger.warn({ error }, "the log could not be trimmed; it is tried again in a minute");
}
