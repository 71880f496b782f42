import type { Clock, Logger } from "../core/environment.ts";
import { laneKey } from "../core/ingestion/log.ts";
import type { IngestionLog } from "../core/ingestion/log.ts";
import type { LaneMetrics } from "../core/ingestion/metrics.ts";
import { isOrphan } from "../core/ingestion/orphans.ts";
import type { TenantConfig } from "../core/ingestion/revision.ts";

export interface OrphanOptions {
  readonly log: Pick<IngestionLog, "lanes" | "bounds" | "read">;
  /** The running revision's. */
  readonly tenants: () => readonly TenantConfig[];
  readonly metrics: Pick<LaneMetrics, "lane">;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Says of each lane without a sink that it keeps its events; to be called when a revision begins to run. */
export async function warnOfOrphans(options: OrphanOptions): Promise<void> {
  for (const { id, pending } of await orphans(options)) {
    options.logger.warn(
      { lane: id, pending },
      "the sink of this lane is gone, and the lane keeps its events; `pulsegate lanes drop` gives them up",
    );
  }
}

/** Reports the lags of orphans and of lanes that are paused, which no worker knows of; to be called before each scrape. */
export async function measureResting(
  options: OrphanOptions & { readonly paused: () => readonly string[] },
): Promise<void> {
  const paused = new Set(options.paused());
  const sinks = new Map<string, { tenantId: string; sink: string; lagEvents: number; lagSeconds: number }>();
  for (const { tenantId, sink, pending, oldestAt } of await orphans(options, paused)) {
    const seconds = oldestAt === undefined ? 0 : Math.max(0, options.clock.now() - oldestAt) / 1000;
    const known = sinks.get(`${tenantId}/${sink}`) ?? { tenantId, sink, lagEvents: 0, lagSeconds: 0 };
    const lagSeconds = Math.max(known.lagSeconds, seconds);
    sinks.set(`${tenantId}/${sink}`, { ...known, lagEvents: known.lagEvents + pending, lagSeconds });
  }
  for (const lag of sinks.values()) options.metrics.lane(lag);
}

/** A log that can't be read keeps neither a configuration nor a scrape from going on. */
async function orphans(options: OrphanOptions, others: ReadonlySet<string> = new Set()): Promise<Orphan[]> {
  try {
    return await readOrphans(options, others);
  } catch (error) {
    options.logger.warn({ error }, "lanes without sinks could not be looked for");
    return [];
  }
}

interface Orphan {
  readonly id: string;
  readonly tenantId: string;
  readonly sink: string;
  readonly pending: number;
  /** When its oldest pending event was accepted, in milliseconds since the epoch. */
  readonly oldestAt: number | undefined;
}

async function readOrphans({ log, tenants }: OrphanOptions, others: ReadonlySet<string>): Promise<Orphan[]> {
  const all = await log.lanes();
  const found = all.filter(({ lane }) => others.has(laneKey(lane)) || isOrphan(lane, tenants()));
  return Promise.all(
    found.map(async ({ lane, state }) => {
      const pending = Math.max(0, (await log.bounds(lane.stream)).end - state.cursor);
      const [oldest] = pending === 0 ? [] : await log.read(lane.stream, state.cursor, { entries: 1, bytes: 1 });
      const { tenantId } = lane.stream;
      return { id: laneKey(lane), tenantId, sink: lane.sink, pending, oldestAt: oldest?.receivedAt };
    }),
  );
}
