import type { Clock } from "../core/environment.ts";
import type { DoorMetrics } from "./ingest-metrics.ts";
import type { LanesMetrics } from "./lane-metrics.ts";
import type { Families } from "./registry.ts";
import type { TenantLabels } from "./tenant-labels.ts";

/** Shares are of the time since the last look, and that is no shorter. */
const LOOK_MS = 5_000;
/** Which tenants have labels is decided anew so often, at a scrape. */
const RANK_MS = 60_000;

export interface TenantsOptions {
  readonly families: Families;
  readonly labels: TenantLabels;
  readonly door: Pick<DoorMetrics, "takeTraffic">;
  readonly lanes: Pick<LanesMetrics, "takeTraffic">;
  readonly clock: Pick<Clock, "monotonic">;
}

/** What is only known of all tenants together: who has labels, and how the door is shared among them. */
export class Tenants {
  readonly #options: TenantsOptions;
  #weights: ReadonlyMap<string, number> = new Map();
  #traffic = new Map<string, number>();
  #lookedAt: number;
  #rankedAt: number;

  constructor(options: TenantsOptions) {
    this.#options = options;
    this.#lookedAt = options.clock.monotonic();
    this.#rankedAt = this.#lookedAt;
  }

  configure(tenants: ReadonlyArray<{ readonly id: string; readonly weight: number }>): void {
    this.#weights = new Map(tenants.map(({ id, weight }) => [id, weight]));
    this.#options.labels.configure(tenants.map(({ id }) => id));
  }

  /** What was settled elsewhere for each tenant since it last told. */
  add(traffic: Iterable<readonly [string, number]>): void {
    for (const [tenantId, events] of traffic) this.#traffic.set(tenantId, (this.#traffic.get(tenantId) ?? 0) + events);
  }

  /** To be called before each scrape. */
  look(): void {
    const { clock, labels, lanes } = this.#options;
    const now = clock.monotonic();
    if (now - this.#lookedAt >= LOOK_MS) {
      this.#lookedAt = now;
      this.#lookAtDoor();
    }
    this.add(lanes.takeTraffic());
    if (now - this.#rankedAt < RANK_MS) return;
    this.#rankedAt = now;
    labels.rank(this.#traffic);
    this.#traffic = new Map();
  }

  /** Received: of the bytes that the door accepted. Owed: by weight, among the tenants that sent anything. */
  #lookAtDoor(): void {
    const { door, families, labels } = this.#options;
    const { shareReceived, shareOwed } = families;
    const traffic = door.takeTraffic();
    this.add([...traffic].map(([tenantId, { requestsAndEvents }]) => [tenantId, requestsAndEvents] as const));
    const weightOf = (tenantId: string): number => this.#weights.get(tenantId) ?? 1;
    let bytes = 0;
    let weights = 0;
    for (const [tenantId, { acceptedBytes }] of traffic) {
      bytes += acceptedBytes;
      weights += weightOf(tenantId);
    }
    shareReceived.clear();
    shareOwed.clear();
    for (const [tenantId, { acceptedBytes }] of traffic) {
      const label = labels.of(tenantId);
      shareReceived.cell(label).value += bytes === 0 ? 0 : acceptedBytes / bytes;
      shareOwed.cell(label).value += weightOf(tenantId) / weights;
    }
  }
}
