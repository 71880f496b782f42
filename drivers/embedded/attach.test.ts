import { once } from "node:events";
import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { encodeParts } from "../../core/canonical/codec.ts";
import type { AppendEntry } from "../../core/ingestion/log.ts";
import { openEmbeddedLog } from "./index.ts";
import { noMetrics, quietLogger, SteppedClock } from "./testing.ts";

function entry(tenantId: string, eventId: string): AppendEntry {
  const bytes = encodeParts({
    eventId,
    tenantId,
    eventType: "t",
    source: "http",
    payload: Buffer.from(`{"x":"${"x".repeat(200)}"}`),
  });
  return { stream: { tenantId, partition: 0 }, eventId, bytes };
}

describe("attached worker threads", () => {
  it("see every event of their slots once, in order, while segments are sealed under them", async () => {
    const folder = await fs.mkdtemp(path.join(os.tmpdir(), "pulsegate-log-"));
    const log = await openEmbeddedLog({
      path: folder,
      clock: new SteppedClock(),
      logger: quietLogger,
      metrics: noMetrics,
      segmentBytes: 256 << 10,
    });
    const threads = [0, 1].map(
      (index) =>
        new Worker(new URL("./attach-thread.fixture.ts", import.meta.url), {
          workerData: log.handle({ index, count: 2 }),
        }),
    );
    try {
      const total = 6_000;
      let read = 0;
      const done = Promise.withResolvers<void>();
      const holding = await Promise.all(
        threads.map(async (thread) => {
          thread.on("error", done.reject);
          const [message] = (await once(thread, "message")) as [{ slots: number; ofAll: number }];
          thread.on("message", (progress: { events?: number }) => {
            read += progress.events ?? 0;
            if (read >= total) done.resolve();
          });
          return message;
        }),
      );
      expect(holding.reduce((sum, { slots }) => sum + slots, 0)).toBe(holding[0]?.ofAll);
      for (let i = 0; i < total; i += 100) {
        await log.append(Array.from({ length: 100 }, (_, k) => entry(`tenant_${(i + k) % 37}`, `e${i + k}`)));
      }
      await done.promise;
      expect(read).toBe(total);
      for (const thread of threads) thread.postMessage("stop");
      await Promise.all(threads.map((thread) => once(thread, "exit")));
    } finally {
      await Promise.all(threads.map((thread) => thread.terminate()));
      await log.close();
      await fs.rm(folder, { recursive: true, force: true });
    }
  });
});
