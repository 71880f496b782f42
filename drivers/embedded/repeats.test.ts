import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { expect, it } from "vitest";
import type { AppendEntry, Appended } from "../../core/ingestion/log.ts";
import { LogFiles } from "./files.ts";
import { openFolder } from "./folder.ts";
import { IdIndex } from "./id-index.ts";
import { openEmbeddedLog } from "./index.ts";
import { PendingEntry } from "./intake.ts";
import { Repeats } from "./repeats.ts";
import { BLOCK_HEADER_BYTES, SEGMENT_HEADER_BYTES } from "./segment-format.ts";
import { SimDisk } from "./sim-disk.ts";
import { StreamTable } from "./streams.ts";
import { entryOf, noMetrics, quietLogger, SteppedClock } from "./testing.ts";

it("never believes a hash: an event of another id or tenant under the same hash is no repeat", async () => {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), "pulsegate-log-"));
  try {
    const disk = new SimDisk();
    const clock = new SteppedClock();
    const log = await openEmbeddedLog({
      path: folder,
      clock,
      logger: quietLogger,
      metrics: noMetrics,
      segmentBytes: 16 << 10,
      disk,
    });
    await log.append([entryOf("t", "first")]);
    await log.close();

    const logFolder = openFolder(disk, folder, 0);
    const ids = new IdIndex(1 << 20);
    const files = new LogFiles({ disk, folder: logFolder, wait: true });
    const range = { firstSegment: 1, sidecarThrough: 0 };
    const repeats = new Repeats({ ids, files, range, windowMs: 1e9, now: () => clock.now() });
    const streams = new StreamTable(logFolder.identity);
    const pendingOf = (entry: AppendEntry): PendingEntry => {
      const call = { results: [] as Appended[], missing: 1, resolve() {}, reject() {} };
      const pending = new PendingEntry(entry, streams.ensure(entry.stream.tenantId, 0), call, 0);
      Object.assign(pending, { idHi: 1, idLo: 2 });
      return pending;
    };
    // All three have the hash of the stored event, as far as the index can tell.
    ids.add(1, 2, 1, SEGMENT_HEADER_BYTES + BLOCK_HEADER_BYTES);
    const found = async (entry: AppendEntry) => repeats.suspect(pendingOf(entry), "event_id")?.resolve();
    expect(await found(entryOf("t", "first"))).toMatchObject({ sequence: 0, eventId: "first" });
    expect(await found(entryOf("t", "other"))).toBeUndefined();
    expect(await found(entryOf("u", "first"))).toBeUndefined();
    files.close();
  } finally {
    await fs.rm(folder, { recursive: true, force: true });
  }
});
