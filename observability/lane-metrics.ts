import type { LaneMetrics } from "../core/ingestion/metrics.ts";
import type { Families, LabelCaps } from "./registry.ts";

type LaneNow = Parameters<LaneMetrics["lane"]>[0];

const BREAKER_RANK = { closed: 0, half_open: 1, open: 2 } as const;

/** Several lanes may share labels (partitions, capped tenants): their states are put together at each scrape. */
export function laneMetrics(families: Families, caps: LabelCaps): LaneMetrics & { refresh(): void } {
  const tenant = (id: string): string => caps.tenants.of(id);
  const sink = (id: string): string => caps.sinks.of(id);
  const lanes = new Map<string, LaneNow>();
  return {
    delivery: (one) => {
      families.deliverySeconds.cell(sink(one.sink), one.plugin).observe(one.seconds);
      families.deliveryEvents.cell(sink(one.sink), one.plugin).value += one.events;
    },
    settled: (tenantId, sinkId, outcome, events) => {
      families.settled.cell(tenant(tenantId), sink(sinkId), outcome).value += events;
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
      lanes.set(keyOf(now), now);
    },
    laneClosed: (lane) => {
      lanes.delete(keyOf(lane));
    },
    refresh: () => {
      refresh({ families, lanes: lanes.values(), tenant, sink });
    },
  };
}

function keyOf(lane: { readonly tenantId: string; readonly partition?: number; readonly sink: string }): string {
  return `${lane.tenantId}/${lane.partition ?? 0}/${lane.sink}`;
}

interface Refresh {
  readonly families: Families;
  readonly lanes: Iterable<LaneNow>;
  readonly tenant: (id: string) => string;
  readonly sink: (id: string) => string;
}

function refresh({ families, lanes, tenant, sink }: Refresh): void {
  const { streamLag, laneLagSeconds, sinkBreaker } = families;
  const worst = new Map<string, { labels: readonly [string, string]; breaker: LaneNow["breaker"] }>();
  for (const family of [streamLag, laneLagSeconds, sinkBreaker]) family.clear();
  for (const lane of lanes) {
    const labels = [tenant(lane.tenantId), sink(lane.sink)] as const;
    streamLag.cell(...labels).value += lane.lagEvents;
    const age = laneLagSeconds.cell(...labels);
    age.value = Math.max(age.value, lane.lagSeconds);
    const known = worst.get(labels.join("/"));
    if (known === undefined || BREAKER_RANK[lane.breaker] > BREAKER_RANK[known.breaker]) {
      worst.set(labels.join("/"), { labels, breaker: lane.breaker });
    }
  }
  for (const { labels, breaker } of worst.values()) sinkBreaker.cell(...labels, breaker).value = 1;
}
