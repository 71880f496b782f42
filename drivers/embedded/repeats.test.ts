import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { expect, it } from "vitest";
import type { AppendEntry, Appended } from "../../core/ingestion/log.ts";
import { LogFiles } from "./files.ts";
import { addToGroup, growGroup } from "./filters.ts";
import { openFolder } from "./folder.ts";
import { IdIndex } from "./id-index.ts";
import { openEmbeddedLog } from "./index.ts";
import { PendingEntry } from "./intake.ts";
import { SharedProgress } from "./shared.ts";
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
    const files = new LogFiles({ disk, folder: logFolder, wait: true, progress: new SharedProgress() });
    const range = { firstSegment: 1, sidecarThrough: 0 };
    const repeats = new Repeats({ ids, files, range, windowMs: 1e9, now: () => clock.now() });
    const streams = new StreamTable(logFolder.identity);
    // All three have the hash of the stored event, as far as the index can tell.
    ids.add(HASH.hi, HASH.lo, 1, SEGMENT_HEADER_BYTES + BLOCK_HEADER_BYTES);
    const found = async (entry: AppendEntry) => repeats.suspect(pendingOf(entry, streams), "event_id")?.resolve();
    expect(await found(entryOf("t", "first"))).toMatchObject({ sequence: 0, eventId: "first" });
    expect(await found(entryOf("t", "other"))).toBeUndefined();
    expect(await found(entryOf("u", "first"))).toBeUndefined();
    files.close();
  } finally {
    await fs.rm(folder, { recursive: true, force: true });
  }
});

it("looks again when an event of the name came and its segment was sealed during a lookup", () => {
  const identity = { format: 1 as const, segmentBytes: 1 << 14, magic: 1, key0: 1, key1: 2 };
  const folder = { path: "", segments: "", state: "", identity };
  const ids = new IdIndex(1 << 20);
  const files = new LogFiles({ disk: new SimDisk(), folder, wait: true, progress: new SharedProgress() });
  const range = { firstSegment: 1, sidecarThrough: 3 };
  const repeats = new Repeats({ ids, files, range, windowMs: 1e9, now: () => 0 });
  const streams = new StreamTable(identity);
  // An older event of the same hash, in a segment that a filter tells of.
  const older = growGroup(undefined, { segment: 3, ids: 1, firstAt: 0, lastAt: 0 }, 100);
  addToGroup(older)(HASH.hi, HASH.lo);
  ids.load([older], false);
  const version = (): number | undefined => repeats.suspect(pendingOf(entryOf("t", "e"), streams), "event_id")?.version;
  const before = version();
  ids.add(HASH.hi, HASH.lo, 4, SEGMENT_HEADER_BYTES);
  const appended = version();
  const group = growGroup(older, { segment: 4, ids: 1, firstAt: 0, lastAt: 0 }, 100);
  ids.sealed({ segment: 4, group });
  const sealed = version();
  expect(before).toBeDefined();
  expect(new Set([before, appended, sealed]).size).toBe(3);
});

const HASH = { hi: 1, lo: 2 };

function pendingOf(entry: AppendEntry, streams: StreamTable): PendingEntry {
  const call = { results: [] as Appended[], missing: 1, resolve() {}, reject() {} };
  const pending = new PendingEntry(entry, streams.ensure(entry.stream.tenantId, 0), call, 0);
  Object.assign(pending, { idHi: HASH.hi, idLo: HASH.lo });
  return pending;
}
