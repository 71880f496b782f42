import type { Clock, Logger } from "../core/environment.ts";
import { backlogOf } from "../core/ingestion/backlog.ts";
import type { IngestionLog } from "../core/ingestion/log.ts";
import type { TenantConfig } from "../core/ingestion/revision.ts";
import type { Door } from "../core/qps/door.ts";

const ROUND_MS = 250;

export interface BacklogOptions {
  readonly log: Pick<IngestionLog, "bounds" | "read" | "loadLane">;
  readonly door: Door;
  readonly tenants: () => readonly TenantConfig[];
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Tells the door, a few times a second, which tenants with a quota of backlog are over it. Returns
 * what ends it. A look that fails leaves the door as it is.
 */
export function watchBacklog(options: BacklogOptions): () => Promise<void> {
  const ended = new AbortController();
  const running = run(options, ended.signal);
  return () => {
    ended.abort();
    return running;
  };
}

async function run({ log, door, tenants, clock, logger }: BacklogOptions, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    for (const tenant of tenants()) {
      const { backlogEvents = Number.POSITIVE_INFINITY, backlogBytes = Number.POSITIVE_INFINITY } = tenant.quota ?? {};
      const quota = door.quotaOf(tenant.id);
      if (
        quota === undefined ||
        (backlogEvents === Number.POSITIVE_INFINITY && backlogBytes === Number.POSITIVE_INFINITY)
      )
        continue;
      try {
        const { events, bytes } = await backlogOf(log, tenant);
        const isBehind = events > backlogEvents || bytes > backlogBytes;
        if (isBehind !== quota.isBehind)
          logger.warn({ tenant_id: tenant.id, backlog_events: events }, isBehind ? CLOSED : OPEN);
        quota.isBehind = isBehind;
      } catch (err) {
        logger.warn({ tenant_id: tenant.id, err }, "the backlog could not be read; trying again");
      }
    }
    await clock.sleep(ROUND_MS, signal);
  }
}

const CLOSED = "the tenant's backlog is over its quota: its events are refused until its lanes catch up";
const OPEN = "the tenant's backlog is within its quota again";
