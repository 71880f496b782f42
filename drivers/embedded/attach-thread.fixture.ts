import { parentPort, workerData } from "node:worker_threads";
import { SLOT_COUNT, slotOf } from "../../core/ingestion/log.ts";
import { attachEmbeddedLog, type EmbeddedLogHandle } from "./index.ts";

/** A worker thread as the product has it, reduced: follows its slots and tells how many entries it has read, in order. */
const log = await attachEmbeddedLog(workerData as EmbeddedLogHandle);
const claims = await log.claims("thread");
const stop = new AbortController();
parentPort?.on("message", () => stop.abort());
for await (const held of claims.held(stop.signal)) {
  const slots = new Set(held.map(({ slot }) => slot));
  parentPort?.postMessage({ type: "holding", slots: slots.size, ofAll: SLOT_COUNT });
  const next = new Map<string, number>();
  for await (const streams of log.arrivals(slots, stop.signal)) {
    for (const stream of streams) {
      if (!slots.has(slotOf(stream))) throw new Error("not mine");
      const key = JSON.stringify(stream);
      for (;;) {
        const from = next.get(key) ?? 0;
        const entries = await log.read(stream, from, { entries: 500, bytes: 1 << 20 });
        entries.forEach((entry, i) => {
          if (entry.sequence !== from + i) throw new Error("out of order");
        });
        next.set(key, from + entries.length);
        if (entries.length === 0) break;
        parentPort?.postMessage({ type: "read", events: entries.length });
      }
    }
  }
  break;
}
await log.close();
parentPort?.close();
