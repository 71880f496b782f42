import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { EventParts } from "../canonical/codec.ts";
import { PulseGateError } from "../canonical/errors.ts";
import { createIngestor, partitionOf } from "./ingest.ts";
import type { Appended, AppendEntry, LogWriter } from "./log.ts";
import type { TenantConfig } from "./revision.ts";

const TENANT: TenantConfig = { id: "shop", keys: [], partitions: 4, weight: 1, transforms: [], sinks: [] };

function part(eventId: string, idempotencyKey?: string): EventParts {
  return { eventId, tenantId: "shop", eventType: "paid", source: "http", idempotencyKey, payload: Buffer.from("{}") };
}

/** An ingestor over a log that answers with what it is given. */
function ingestorOver(append: (entries: readonly AppendEntry[]) => Promise<Appended[]>) {
  const log: LogWriter = { append, probe: async () => {} };
  const counted: unknown[][] = [];
  return { ingestor: createIngestor({ log, metrics: { events: (...count) => void counted.push(count) } }), counted };
}

describe("accept", () => {
  it("maps what the log says to results in the order of the events", async () => {
    const seen: AppendEntry[] = [];
    const first = { stream: { tenantId: "shop", partition: 2 }, sequence: 7, receivedAt: 5, eventId: "first" };
    const { ingestor, counted } = ingestorOver(async (entries) => {
      seen.push(...entries);
      return [
        { type: "appended", sequence: 42, receivedAt: 9 },
        { type: "duplicate", ...first },
        { type: "conflict", field: "event_id", eventId: "c" },
      ];
    });
    const results = await ingestor.accept(TENANT, [part("a"), part("b", "k"), part("c")]);
    const stream = { tenantId: "shop", partition: partitionOf("a", 4) };
    expect(results).toEqual([
      { type: "accepted", eventId: "a", stream, sequence: 42, receivedAt: 9 },
      { type: "duplicate", ...first },
      { type: "conflict", field: "event_id", eventId: "c" },
    ]);
    expect(seen.map(({ eventId, idempotencyKey }) => [eventId, idempotencyKey])).toEqual([
      ["a", undefined],
      ["b", "k"],
      ["c", undefined],
    ]);
    const bytes = seen.reduce((sum, entry) => sum + entry.bytes.length, 0);
    expect(counted).toEqual([
      ["shop", "accepted", 1, bytes],
      ["shop", "duplicate", 1, 0],
      ["shop", "idempotency_conflict", 1, 0],
    ]);
  });

  it("passes the log's error on and counts nothing as accepted", async () => {
    const full = new PulseGateError("log_full", "full");
    const { ingestor, counted } = ingestorOver(() => Promise.reject(full));
    await expect(ingestor.accept(TENANT, [part("a")])).rejects.toBe(full);
    expect(counted).toEqual([]);
  });
});

describe("partitionOf", () => {
  it("always puts an id into the same partition, within bounds", () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 1, max: 64 }), (id, partitions) => {
        const partition = partitionOf(id, partitions);
        expect(partition).toBe(partitionOf(id, partitions));
        expect(partition >= 0 && partition < partitions && Number.isInteger(partition)).toBe(true);
      }),
    );
  });

  it.each([2, 3, 8, 10])("spreads ids that differ only in a counter evenly over %i partitions", (partitions) => {
    const counts = new Array<number>(partitions).fill(0);
    for (let i = 0; i < 10_000; i++) counts[partitionOf(`order-${i}`, partitions)]! += 1;
    for (const count of counts) expect(Math.abs(count / (10_000 / partitions) - 1)).toBeLessThan(0.15);
  });
});
