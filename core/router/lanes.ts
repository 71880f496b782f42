import type { LaneId } from "../ingestion/log.ts";
import { laneKey } from "../ingestion/log.ts";
import type { Revision, SinkUse, TenantConfig } from "../ingestion/revision.ts";

/** A lane that a revision asks for. */
export interface LanePlan {
  readonly lane: LaneId;
  readonly tenant: TenantConfig;
  readonly sink: SinkUse;
}

/**
 * The lanes of a revision by lane key: each of a tenant's sinks has one in each of the tenant's streams,
 * whichever events it takes.
 * `known` are lanes that exist already: when a tenant has fewer partitions than it once had, the
 * events left in the others are still owed to its sinks.
 */
export function lanesOf(revision: Revision, known: Iterable<LaneId>): Map<string, LanePlan> {
  const plans = new Map<string, LanePlan>();
  const add = (tenant: TenantConfig, sink: SinkUse, partition: number) => {
    const lane = { stream: { tenantId: tenant.id, partition }, sink: sink.id };
    plans.set(laneKey(lane), { lane, tenant, sink });
  };
  const sinks = new Map<string, { tenant: TenantConfig; sink: SinkUse }>();
  for (const tenant of revision.tenants) {
    for (const sink of tenant.sinks) {
      sinks.set(`${tenant.id}/${sink.id}`, { tenant, sink });
      for (let partition = 0; partition < tenant.partitions; partition++) add(tenant, sink, partition);
    }
  }
  for (const { stream, sink: sinkId } of known) {
    const owner = sinks.get(`${stream.tenantId}/${sinkId}`);
    if (owner !== undefined && stream.partition >= owner.tenant.partitions)
      add(owner.tenant, owner.sink, stream.partition);
  }
  return plans;
}
