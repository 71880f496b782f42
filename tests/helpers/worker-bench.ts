import { encodeParts } from "../../core/canonical/codec.ts";
import type { Logger } from "../../core/environment.ts";
import type { AppendEntry, LogWriter } from "../../core/ingestion/log.ts";
import type { LaneMetrics } from "../../core/ingestion/metrics.ts";
import type { Revision, SinkUse, TenantConfig } from "../../core/ingestion/revision.ts";

export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

export const noMetrics: LaneMetrics = {
  delivery: () => undefined,
  settled: () => undefined,
  error: () => undefined,
  deadLetter: () => undefined,
  processing: () => undefined,
  lane: () => undefined,
};

export function sinkUse(name: string, change: Partial<SinkUse> = {}): SinkUse {
  return {
    name,
    id: name,
    config: {},
    retry: { attempts: 5, backoffMinMs: 100, backoffMaxMs: 5_000, timeoutMs: 10_000 },
    batch: { eventsMax: 100, bytesMax: 1024 * 1024 },
    windowEvents: 1_000,
    ...change,
  };
}

export function tenant(id: string, sinks: readonly SinkUse[], change: Partial<TenantConfig> = {}): TenantConfig {
  return { id, keys: [], partitions: 1, weight: 1, transforms: [], sinks, ...change };
}

export function revision(number: number, tenants: readonly TenantConfig[]): Revision {
  return {
    number,
    limits: {
      eventBytesMax: 1024 * 1024,
      batchBytesMax: 10 * 1024 * 1024,
      batchEventsMax: 10_000,
      headerTimeoutMs: 10_000,
      bodyTimeoutMs: 30_000,
      keepAliveTimeoutMs: 5_000,
      connectionsMax: 1_000,
    },
    tenants,
  };
}

export function entry(
  tenantId: string,
  eventId: string,
  options: { partition?: number; payload?: string } = {},
): AppendEntry {
  const { partition = 0, payload = '{"n":1}' } = options;
  const bytes = encodeParts({
    eventId,
    tenantId,
    eventType: "order_paid",
    source: "http",
    payload: Buffer.from(payload),
  });
  return { stream: { tenantId, partition }, eventId, bytes };
}

/** Appends events named `PREFIX0`, `PREFIX1`, … and returns their ids. */
export async function appendEvents(
  log: LogWriter,
  tenantId: string,
  options: { readonly count: number; readonly prefix?: string; readonly partition?: number },
): Promise<string[]> {
  const { count, prefix = "e", partition = 0 } = options;
  const ids = Array.from({ length: count }, (_, i) => `${prefix}${i}`);
  await log.append(ids.map((id) => entry(tenantId, id, { partition })));
  return ids;
}
