import type { Clock } from "../environment.ts";
import type { QuotaConfig, Revision } from "../ingestion/revision.ts";
import { TenantQuota } from "./quota.ts";
import type { QuotaShare } from "./quota.ts";

/** The quotas of all tenants of this process. A new revision's count from the next request on. */
export interface Door {
  /** Undefined for a tenant without quotas. */
  quotaOf(tenantId: string): TenantQuota | undefined;
  apply(revision: Pick<Revision, "tenants">): void;
}

/** `shareOf`: this process's part of a tenant's quota, where processes share them. */
export function createDoor(
  revision: Pick<Revision, "tenants">,
  clock: Clock,
  shareOf?: (tenantId: string) => QuotaShare,
): Door {
  let quotas = new Map<string, Held>();
  const door: Door = {
    quotaOf: (tenantId) => quotas.get(tenantId)?.quota,
    apply({ tenants }) {
      const next = new Map<string, Held>();
      for (const { id, quota } of tenants)
        if (quota !== undefined) {
          const make = (): TenantQuota => new TenantQuota(quota, clock, shareOf?.(id));
          next.set(id, held(quota, quotas.get(id), make));
        }
      quotas = next;
    },
  };
  door.apply(revision);
  return door;
}

interface Held {
  readonly config: QuotaConfig;
  readonly quota: TenantQuota;
}

/** Requests under way leave the quota that they came in by: an unchanged one is kept as it is. */
function held(config: QuotaConfig, before: Held | undefined, make: () => TenantQuota): Held {
  if (before === undefined) return { config, quota: make() };
  if (JSON.stringify(before.config) === JSON.stringify(config)) return before;
  return { config, quota: make().continueFrom(before.quota) };
}
