import type { EventParts } from "../canonical/codec.ts";
import { encodeParts } from "../canonical/codec.ts";
import type { Appended, AppendEntry, LogWriter, Stream } from "./log.ts";
import type { IngestMetrics } from "./metrics.ts";
import type { TenantConfig } from "./revision.ts";

/** What became of one event at the door. */
export type IngestResult =
  | {
      readonly type: "accepted" | "duplicate";
      readonly eventId: string;
      readonly stream: Stream;
      readonly sequence: number;
      /** Milliseconds since the epoch. */
      readonly receivedAt: number;
      /** As `LogWriter.durability`. */
      readonly durability?: "relaxed" | undefined;
    }
  | { readonly type: "conflict"; readonly field: "event_id" | "idempotency_key"; readonly eventId: string };

export interface Ingestor {
  /**
   * Puts one tenant's events into the log; resolves when all are durable, one result each, in order.
   * Rejects with the log's error, and then nothing may be acknowledged; a repeat with the same ids is safe.
   */
  accept(tenant: TenantConfig, parts: readonly EventParts[]): Promise<IngestResult[]>;
}

export interface IngestorOptions {
  readonly log: LogWriter;
  readonly metrics: Pick<IngestMetrics, "events">;
}

export function createIngestor({ log, metrics }: IngestorOptions): Ingestor {
  const streams = new StreamTable();
  return {
    accept(tenant, parts) {
      let bytes = 0;
      const entries = parts.map((part) => {
        const stream = streams.of(tenant.id, partitionOf(part.eventId, tenant.partitions));
        const entry = entryOf(part, stream, tenant.weight);
        bytes += entry.bytes.length;
        return entry;
      });
      return log.append(entries).then((appended) => {
        const results = entries.map((entry, i) => resultOf(entry, appended[i] as Appended, log.durability));
        count(metrics, tenant.id, results, bytes);
        return results;
      });
    },
  };
}

function entryOf(part: EventParts, stream: Stream, weight: number): AppendEntry {
  return { stream, eventId: part.eventId, idempotencyKey: part.idempotencyKey, weight, bytes: encodeParts(part) };
}

/** FNV-1a of the id, modulo the number of partitions: a repeat of an id goes where the first went. */
export function partitionOf(eventId: string, partitions: number): number {
  if (partitions === 1) return 0;
  let hash = 0x811c9dc5;
  for (let i = 0; i < eventId.length; i++) hash = Math.imul(hash ^ eventId.charCodeAt(i), 0x01000193);
  // FNV's low bits are weak on short texts: mix once more.
  hash = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b);
  return ((hash ^ (hash >>> 16)) >>> 0) % partitions;
}

/** One object per stream instead of one per event. */
class StreamTable {
  private readonly tenants = new Map<string, Stream[]>();

  of(tenantId: string, partition: number): Stream {
    let streams = this.tenants.get(tenantId);
    if (streams === undefined) {
      streams = [];
      this.tenants.set(tenantId, streams);
    }
    return (streams[partition] ??= { tenantId, partition });
  }
}

function resultOf(entry: AppendEntry, appended: Appended, durability: "relaxed" | undefined): IngestResult {
  if (appended.type === "conflict") return appended;
  if (appended.type === "appended") {
    const { sequence, receivedAt } = appended;
    return { type: "accepted", eventId: entry.eventId, stream: entry.stream, sequence, receivedAt, durability };
  }
  const { stream, sequence, receivedAt, eventId } = appended;
  return { type: "duplicate", eventId, stream, sequence, receivedAt, durability };
}

/** Bytes of duplicates and conflicts are not told apart: they count with what was accepted beside them. */
function count(
  metrics: Pick<IngestMetrics, "events">,
  tenantId: string,
  results: readonly IngestResult[],
  bytes: number,
): void {
  let accepted = 0;
  let duplicates = 0;
  for (const { type } of results) {
    if (type === "accepted") accepted++;
    else if (type === "duplicate") duplicates++;
  }
  const conflicts = results.length - accepted - duplicates;
  if (accepted > 0) metrics.events(tenantId, "accepted", accepted, bytes);
  if (duplicates > 0) metrics.events(tenantId, "duplicate", duplicates, accepted > 0 ? 0 : bytes);
  if (conflicts > 0) metrics.events(tenantId, "idempotency_conflict", conflicts, 0);
}
