import type { LaneMetrics } from "../core/ingestion/metrics.ts";
import type { Families, LabelCaps } from "./registry.ts";

type LaneNow = Parameters<LaneMetrics["lane"]>[0];

const BREAKER_RANK = { closed: 0, half_open: 1, open: 2 } as const;

/** Lanes are told anew before each scrape: one that was not for so many is gone (two scrapes may overlap). */
const SCRAPES_MAX = 2;

export interface LanesMetrics extends LaneMetrics {
  /** To be called before each scrape. */
  refresh(): void;
  /** Events settled since the last call by tenant, those without labels too. */
  takeTraffic(): Map<string, number>;
}

/** Several lanes may share labels (capped tenants): their states are put together at each scrape. */
export function laneMetrics(families: Families, caps: LabelCaps): LanesMetrics {
  let traffic = new Map<string, number>();
  const tenant = (id: string): string => caps.tenants.of(id);
  const sink = (id: string): string => caps.sinks.of(id);
  const lanes = new Map<string, { readonly now: LaneNow; scrapes: number }>();
  return {
    delivery: (one) => {
      families.deliverySeconds.cell(sink(one.sink), one.plugin).observe(one.seconds);
      families.deliveryEvents.cell(sink(one.sink), one.plugin).value += one.events;
    },
    settled: (tenantId, sinkId, outcome, events) => {
      traffic.set(tenantId, (traffic.get(tenantId) ?? 0) + events);
      families.settled.cell(tenant(tenantId), sink(sinkId), outcome).value += events;
    },
    replayed: (tenantId, sinkId, outcome, events) => {
      families.replayEvents.cell(tenant(tenantId), sink(sinkId), outcome).value += events;
    },
    error: (error) => {
      const labels = [tenant(error.tenantId), sink(error.sink), error.stage, error.code] as const;
      families.workerErrors.cell(...labels).value += error.events;
    },
    deadLetter: (tenantId, sinkId, stage) => {
      families.dlqEvents.cell(tenant(tenantId), sink(sinkId), stage).value++;
    },
    processing: (_tenantId, sinkId, seconds) => {
      families.processingTime.cell(sink(sinkId)).observe(seconds);
    },
    lane: (now) => {
      lanes.set(`${now.tenantId}/${now.sink}`, { now, scrapes: 0 });
    },
    refresh: () => {
      for (const [key, seen] of lanes) if (seen.scrapes++ >= SCRAPES_MAX) lanes.delete(key);
      refresh({ families, lanes: [...lanes.values()].map(({ now }) => now), tenant, sink });
    },
    takeTraffic: () => {
      const taken = traffic;
      traffic = new Map();
      return taken;
    },
  };
}

interface Refresh {
  readonly families: Families;
  readonly lanes: Iterable<LaneNow>;
  readonly tenant: (id: string) => string;
  readonly sink: (id: string) => string;
}

function refresh({ families, lanes, tenant, sink }: Refresh): void {
  const { streamLag, laneLagSeconds, sinkBreaker } = families;
  const worst = new Map<string, { labels: readonly [string, string]; breaker: keyof typeof BREAKER_RANK }>();
  for (const family of [streamLag, laneLagSeconds, sinkBreaker]) family.clear();
  for (const lane of lanes) {
    const labels = [tenant(lane.tenantId), sink(lane.sink)] as const;
    streamLag.cell(...labels).value += lane.lagEvents;
    const age = laneLagSeconds.cell(...labels);
    age.value = Math.max(age.value, lane.lagSeconds);
    if (lane.breaker === undefined) continue;
    const known = worst.get(labels.join("/"));
    if (known === undefined || BREAKER_RANK[lane.breaker] > BREAKER_RANK[known.breaker]) {
      worst.set(labels.join("/"), { labels, breaker: lane.breaker });
    }
  }
  for (const { labels, breaker } of worst.values()) sinkBreaker.cell(...labels, breaker).value = 1;
}
