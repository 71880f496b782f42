import type { Clock, Logger } from "../core/environment.ts";
import { backlogOf } from "../core/ingestion/backlog.ts";
import type { IngestionLog } from "../core/ingestion/log.ts";
import type { TenantConfig } from "../core/ingestion/revision.ts";
import type { Door } from "../core/qps/door.ts";
import type { TenantQuota } from "../core/qps/quota.ts";

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
 * what ends it. A look that fails leaves the door as it is. Who is within its limits and sends nothing costs nothing.
 */
export function watchBacklog(options: BacklogOptions): () => Promise<void> {
  const ended = new AbortController();
  const running = run(options, ended.signal);
  return () => {
    ended.abort();
    return running;
  };
}

async function run(options: BacklogOptions, signal: AbortSignal): Promise<void> {
  let tenants: readonly TenantConfig[] = [];
  let watched: Watched[] = [];
  while (!signal.aborted) {
    if (tenants !== options.tenants()) {
      tenants = options.tenants();
      watched = tenants.filter(hasLimit).map((tenant) => ({ tenant, calm: undefined }));
    }
    for (const one of watched) await look(one, options);
    await options.clock.sleep(ROUND_MS, signal);
  }
}

interface Watched {
  readonly tenant: TenantConfig;
  /** The tenant's quota and requests when it was last seen within its limits: without new ones it stays so. */
  calm: { readonly quota: TenantQuota; readonly entered: number } | undefined;
}

function hasLimit({ quota }: TenantConfig): boolean {
  return quota?.backlogEvents !== undefined || quota?.backlogBytes !== undefined;
}

async function look(watched: Watched, { log, door, logger }: BacklogOptions): Promise<void> {
  const { tenant, calm } = watched;
  const quota = door.quotaOf(tenant.id);
  if (quota === undefined) return;
  const entered = quota.enteredAtRest;
  if (entered !== undefined && calm?.entered === entered && calm.quota === quota) return;
  const { backlogEvents = Number.POSITIVE_INFINITY, backlogBytes = Number.POSITIVE_INFINITY } = tenant.quota ?? {};
  try {
    const { events, bytes } = await backlogOf(log, tenant);
    const isBehind = events > backlogEvents || bytes > backlogBytes;
    if (isBehind !== quota.isBehind)
      logger.warn({ tenant_id: tenant.id, backlog_events: events }, isBehind ? CLOSED : OPEN);
    quota.isBehind = isBehind;
    watched.calm = isBehind || entered === undefined ? undefined : { quota, entered };
  } catch (err) {
    logger.warn({ tenant_id: tenant.id, err }, "the backlog could not be read; trying again");
  }
}

const CLOSED = "the tenant's backlog is over its quota: its events are refused until its lanes catch up";
const OPEN = "the tenant's backlog is within its quota again";
