import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { encodeParts } from "../core/canonical/codec.ts";
import type { Clock, Logger } from "../core/environment.ts";
import type { AppendEntry } from "../core/ingestion/log.ts";
import type { LogMetrics } from "../core/ingestion/metrics.ts";

/** What the log's benchmarks share. */
export const quiet: Logger = { debug() {}, info() {}, warn: console.warn, error: console.error };
export const silent: LogMetrics = { commit() {}, dedup() {}, failed() {}, alarm() {} };
export const benchClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
};

/** A folder on the disk that will be used in earnest (TMPDIR), gone afterwards. */
export async function benchFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), "pulsegate-bench-"));
  return {
    path: folder,
    [Symbol.asyncDispose]: () => fs.rm(folder, { recursive: true, force: true }),
  };
}

/** Makes entries of about so many canonical bytes, with ids like a client's, over so many tenants in turn. */
export function entryMaker(options: { bytes: number; tenants: number; first?: number }): () => AppendEntry {
  const { bytes, tenants } = options;
  let n = options.first ?? 0;
  const tenantIds = Array.from({ length: tenants }, (_, i) => `tenant_${i}`);
  const overhead = encodeParts(partsOf("tenant_0", idOf(0), Buffer.from('{"x":""}'))).length;
  const payload = Buffer.from(`{"x":"${"x".repeat(Math.max(0, bytes - overhead))}"}`);
  return () => {
    const tenantId = tenantIds[n % tenants] as string;
    const eventId = idOf(n++);
    return { stream: { tenantId, partition: 0 }, eventId, bytes: encodeParts(partsOf(tenantId, eventId, payload)) };
  };
}

function partsOf(tenantId: string, eventId: string, payload: Buffer) {
  return { eventId, tenantId, eventType: "order_paid", source: "http" as const, payload };
}

/** 36 characters, as long as a UUID. */
function idOf(n: number): string {
  return `0197a3c2-client-${n.toString(16).padStart(20, "0")}`;
}
