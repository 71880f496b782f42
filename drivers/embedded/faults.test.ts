import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { AppendEntry } from "../../core/ingestion/log.ts";
import { type EmbeddedLog, openEmbeddedLog } from "./index.ts";
import { SimDisk } from "./sim-disk.ts";
import { entryOf, noMetrics, quietLogger, SteppedClock, seeded } from "./testing.ts";

const SEGMENT_BYTES = 32 << 10;
const ALL = { entries: 1e6, bytes: 1e9 };
const STREAM = { tenantId: "t", partition: 0 };

/** PULSEGATE_SEEDS asks for more. */
function seeds(count: number): number[] {
  return Array.from({ length: Number(process.env["PULSEGATE_SEEDS"] ?? count) }, (_, i) => i + 1);
}

let folder: string;
let disk: SimDisk;

beforeEach(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), "pulsegate-log-"));
  disk = new SimDisk();
});
afterEach(() => fs.rm(folder, { recursive: true, force: true }));

function open(): Promise<EmbeddedLog> {
  return openEmbeddedLog({
    path: folder,
    clock: new SteppedClock({ hasty: true }),
    logger: quietLogger,
    metrics: noMetrics,
    segmentBytes: SEGMENT_BYTES,
    disk,
  });
}

/** Appends one event; true when it was acknowledged. */
async function acked(log: EmbeddedLog, entry: AppendEntry): Promise<boolean> {
  return log.append([entry]).then(
    () => true,
    () => false,
  );
}

async function storedIds(log: EmbeddedLog, tenantId = "t"): Promise<string[]> {
  const entries = await log.read({ tenantId, partition: 0 }, 0, ALL);
  return entries.map((entry) => (JSON.parse(entry.bytes.toString()) as { event_id: string }).event_id);
}

describe("acknowledgement", () => {
  it("comes after the return of the write that covers the event, never before", async () => {
    const log = await open();
    disk.holdsWrites = true;
    let isAcked = false;
    const append = log.append([entryOf("t", "e1")]).then(() => {
      isAcked = true;
    });
    const settled = new Promise((resolve) => setImmediate(() => setImmediate(() => setImmediate(resolve))));
    await settled;
    expect(isAcked).toBe(false);
    expect(await storedIds(log)).toEqual([]);
    const before = disk.completed;
    disk.releaseWrites();
    await append;
    expect(disk.completed).toBe(before + 1);
    await log.close();
  });
});

describe("a full disk", () => {
  it("refuses with log_full what a write found no room for, and goes on once there is room", async () => {
    const log = await open();
    await log.append([entryOf("t", "e1")]);
    disk.onWrite = () => ({ code: "ENOSPC", written: 200 });
    await expect(log.append([entryOf("t", "e2")])).rejects.toMatchObject({ code: "log_full" });
    await expect(log.probe()).rejects.toMatchObject({ code: "log_full" });
    disk.onWrite = undefined;
    expect(await log.append([entryOf("t", "e3")])).toMatchObject([{ type: "appended", sequence: 1 }]);
    expect(await log.append([entryOf("t", "e2")])).toMatchObject([{ type: "appended", sequence: 2 }]);
    expect(await storedIds(log)).toEqual(["e1", "e3", "e2"]);
    await log.close();
    const again = await open();
    expect(await storedIds(again)).toEqual(["e1", "e3", "e2"]);
    await again.close();
  });

  it("forgets a block that was written whole but not acknowledged, also across a power loss", async () => {
    const log = await open();
    await log.append([entryOf("t", "e1")]);
    disk.onWrite = () => ({ code: "ENOSPC", written: Number.MAX_SAFE_INTEGER });
    expect(await acked(log, entryOf("t", "ghost"))).toBe(false);
    disk.onWrite = undefined;
    await log.append([entryOf("t", "e2")]);
    const random = seeded(7);
    disk = disk.losePower(random);
    await log.close();
    // The sidecar, if it was made in time, knows where its segment ends; recovery must find out without it too.
    disk.removeEnding("0000000001.idx");
    const again = await open();
    expect(await storedIds(again)).toEqual(["e1", "e2"]);
    await again.close();
  });

  it("refuses with log_full when no further segment can be made, and recovers by itself", async () => {
    const log = await open();
    while (!disk.paths.some((name) => name.endsWith("0000000002.seg"))) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    disk.isFull = true;
    const stored: string[] = [];
    const refusals: unknown[] = [];
    for (let i = 0; refusals.length === 0; i++) {
      await log.append([entryOf("t", `e${i}`, 4000)]).then(
        () => stored.push(`e${i}`),
        (error: unknown) => {
          refusals.push(error);
        },
      );
    }
    expect(refusals[0]).toMatchObject({ code: "log_full", retryAfterMs: 1000 });
    expect(await storedIds(log)).toEqual(stored);
    disk.isFull = false;
    while (!(await acked(log, entryOf("t", "after", 4000)))) await new Promise((resolve) => setImmediate(resolve));
    expect(await storedIds(log)).toEqual([...stored, "after"]);
    // The sidecar that found no room either is made in the end, and is right.
    while (!disk.paths.some((name) => name.endsWith("0000000001.idx")))
      await new Promise((resolve) => setImmediate(resolve));
    expect(await storedIds(log)).toEqual([...stored, "after"]);
    await log.close();
    const again = await open();
    expect(await storedIds(again)).toEqual([...stored, "after"]);
    await again.close();
  });
});

describe("a failing disk", () => {
  it("stops the log for good after a write error, and acknowledges nothing more", async () => {
    const log = await open();
    await log.append([entryOf("t", "e1")]);
    disk.onWrite = () => ({ code: "EIO", written: 0 });
    const inFlight = [log.append([entryOf("t", "e2")]), log.append([entryOf("u", "e2")]), log.probe()];
    for (const one of inFlight) await expect(one).rejects.toMatchObject({ code: "log_unavailable" });
    disk.onWrite = undefined;
    const writes = disk.completed;
    await expect(log.append([entryOf("t", "e3")])).rejects.toMatchObject({ code: "log_unavailable" });
    await expect(log.probe()).rejects.toMatchObject({ code: "log_unavailable" });
    expect(await log.failed).toMatchObject({ code: "log_unavailable" });
    expect(disk.completed).toBe(writes);
    await log.close();
    const again = await open();
    expect(await storedIds(again)).toEqual(["e1"]);
    await again.close();
  });

  it("refuses more than may wait with overloaded, and takes it when the queue is empty again", async () => {
    const log = await openEmbeddedLog({
      path: folder,
      clock: new SteppedClock(),
      logger: quietLogger,
      metrics: noMetrics,
      disk,
      segmentBytes: SEGMENT_BYTES,
      pendingEntriesMax: 10,
    });
    disk.holdsWrites = true;
    const waiting = Array.from({ length: 10 }, (_, i) => log.append([entryOf("t", `e${i}`)]));
    await expect(log.append([entryOf("t", "e10")])).rejects.toMatchObject({ code: "overloaded" });
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    disk.releaseWrites();
    await Promise.all(waiting);
    await log.append([entryOf("t", "e10")]);
    expect(await storedIds(log)).toHaveLength(11);
    await log.close();
  });
});

describe("power loss", () => {
  it.each(seeds(12))("keeps every acknowledged event, seed %i", async (seed) => {
    const random = seeded(seed);
    const acknowledged = new Map<string, string[]>();
    const sent = new Set<string>();
    let n = 0;
    for (let round = 0; round < 4; round++) {
      const log = await open();
      const over = new AbortController();
      const clients = Array.from({ length: 8 }, async (_, client) => {
        while (!over.signal.aborted) {
          const tenantId = `tenant_${client % 3}`;
          const entries = Array.from({ length: 1 + Math.floor(random() * 4) }, () =>
            entryOf(tenantId, `e${n++}`, Math.floor(random() * 1500)),
          );
          for (const entry of entries) sent.add(entry.eventId);
          const results = await log.append(entries).catch(() => undefined);
          if (results === undefined) return;
          results.forEach((result, i) => {
            const ids = acknowledged.get(tenantId) ?? [];
            if (result.type === "appended") ids[result.sequence] = (entries[i] as AppendEntry).eventId;
            acknowledged.set(tenantId, ids);
          });
        }
      });
      const commits = disk.completed + Math.floor(random() * 60);
      while (disk.completed < commits) await new Promise((resolve) => setImmediate(resolve));
      const after = disk.losePower(random);
      over.abort();
      await Promise.all(clients);
      await log.close();
      disk = after;
      const again = await open();
      for (const [tenantId, ids] of acknowledged) {
        const stored = await storedIds(again, tenantId);
        ids.forEach((id, sequence) => expect(stored[sequence], `${tenantId}/${sequence}`).toBe(id));
        expect(new Set(stored).size).toBe(stored.length);
        for (const id of stored) expect(sent.has(id)).toBe(true);
        // What is stored without having been acknowledged counts from now on.
        acknowledged.set(tenantId, stored);
      }
      const after2 = disk.losePower(random);
      await again.close();
      disk = after2;
    }
  });
});

describe("damage", () => {
  /** A log with several commits in its last segment, as a crash leaves it. */
  async function crashed(commits: number): Promise<string[]> {
    const log = await open();
    for (let i = 0; i < commits; i++) await log.append([entryOf("t", `e${i}`, 100)]);
    const after = disk.losePower(() => 1);
    await log.close();
    disk = after;
    return Array.from({ length: commits }, (_, i) => `e${i}`);
  }

  it.each(seeds(60))(
    "is never passed over: a flipped bit is refused or cuts the last write alone, seed %i",
    async (seed) => {
      const random = seeded(seed);
      const ids = await crashed(30);
      const bytes = disk.contentOf("0000000001.seg");
      let end = bytes.length;
      while (bytes[end - 1] === 0) end--;
      const at = Math.floor(random() * end);
      (bytes[at] as number) ^= 1 << Math.floor(random() * 8);
      const log = await open().catch((error: unknown) => error);
      if (log instanceof Error) {
        expect(log).toMatchObject({
          code: "log_corrupt",
          message: expect.stringMatching(/0000000001\.seg is damaged at byte \d+: .*Restore/),
        });
        return;
      }
      const stored = await storedIds(log as EmbeddedLog);
      expect(stored).toEqual(ids.slice(0, stored.length));
      expect(stored.length).toBeGreaterThanOrEqual(ids.length - 1);
      await (log as EmbeddedLog).close();
    },
  );

  it("in the middle is refused with file, place and next step, and nothing is changed", async () => {
    await crashed(30);
    const bytes = disk.contentOf("0000000001.seg");
    (bytes[2000] as number) ^= 1;
    const before = Buffer.from(bytes);
    await expect(open()).rejects.toMatchObject({
      code: "log_corrupt",
      message: expect.stringContaining("an intact one follows"),
    });
    expect(disk.contentOf("0000000001.seg").equals(before)).toBe(true);
  });

  it("of the last write is told from a torn one when the log was closed cleanly", async () => {
    const log = await open();
    for (let i = 0; i < 5; i++) await log.append([entryOf("t", `e${i}`, 100)]);
    await log.close();
    const bytes = disk.contentOf("0000000001.seg");
    let end = bytes.length;
    while (bytes[end - 1] === 0) end--;
    (bytes[end - 1] as number) ^= 1;
    await expect(open()).rejects.toMatchObject({
      code: "log_corrupt",
      message: expect.stringContaining("it was closed at byte"),
    });
  });

  it("cuts off a torn write and goes on in its place", async () => {
    const ids = await crashed(5);
    const bytes = disk.contentOf("0000000001.seg");
    let end = bytes.length;
    while (bytes[end - 1] === 0) end--;
    bytes.fill(0xee, end + 8, end + 3000);
    const log = await open();
    expect(
      disk
        .contentOf("0000000001.seg")
        .subarray(end + 8)
        .every((byte) => byte === 0),
    ).toBe(true);
    await log.append([entryOf("t", "next")]);
    await log.close();
    const again = await open();
    expect(await storedIds(again)).toEqual([...ids, "next"]);
    await again.close();
  });

  it("of a sealed segment is refused when it is read, naming the place", async () => {
    const log = await open();
    for (let i = 0; i < 40; i++) await log.append([entryOf("t", `e${i}`, 2000)]);
    const bytes = disk.contentOf("0000000001.seg");
    (bytes[5000] as number) ^= 1;
    await expect(log.read(STREAM, 0, ALL)).rejects.toMatchObject({ code: "log_corrupt" });
    await log.close();
  });

  it("is refused when a segment or the ends of the streams are missing", async () => {
    const log = await open();
    for (let i = 0; i < 60; i++) await log.append([entryOf("t", `e${i}`, 2000)]);
    await log.close();
    disk.removeEnding("0000000002.seg");
    await expect(open()).rejects.toMatchObject({ code: "log_corrupt", message: expect.stringContaining("missing") });
  });

  it("to a sidecar costs nothing but the time to make it again", async () => {
    const log = await open();
    for (let i = 0; i < 60; i++) await log.append([entryOf("t", `e${i}`, 2000)]);
    await log.close();
    for (const ending of disk.paths.filter((name) => name.endsWith(".idx")))
      (disk.contentOf(ending)[40] as number) ^= 1;
    const again = await open();
    expect(await storedIds(again)).toHaveLength(60);
    expect(await again.append([entryOf("t", "e3", 2000)])).toMatchObject([{ type: "duplicate", sequence: 3 }]);
    await again.close();
  });
});

it("leaves no file open behind", async () => {
  const log = await open();
  for (let i = 0; i < 60; i++) await log.append([entryOf("t", `e${i}`, 2000)]);
  await storedIds(log);
  await log.close();
  expect(disk.openFiles).toBe(0);
});
