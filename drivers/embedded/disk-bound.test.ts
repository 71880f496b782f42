import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isErrorCode } from "../../core/canonical/errors.ts";
import { makeRoom } from "../../core/ingestion/retention.ts";
import { type EmbeddedLog, openEmbeddedLog } from "./index.ts";
import { SimDisk } from "./sim-disk.ts";
import { entryOf, noMetrics, quietLogger, SteppedClock } from "./testing.ts";

const SEGMENT_BYTES = 64 << 10;
const ALL = { entries: 1e6, bytes: 1e9 };

let folder: string;
let disk: SimDisk;

beforeEach(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), "pulsegate-log-"));
  disk = new SimDisk();
});
afterEach(() => fs.rm(folder, { recursive: true, force: true }));

/** Room for so many segments beside the state, which LMDB makes as large as it likes. */
async function open(segments: number): Promise<{ log: EmbeddedLog; diskBytesMax: number }> {
  const parts = { path: folder, logger: quietLogger, metrics: noMetrics, segmentBytes: SEGMENT_BYTES, disk };
  const clock = new SteppedClock({ hasty: true });
  const first = await openEmbeddedLog({ ...parts, clock });
  await first.close();
  const state = (await fs.stat(path.join(folder, "state", "data.mdb"))).size;
  // What settlements and the like add.
  const diskBytesMax = state + (64 << 10) + segments * SEGMENT_BYTES;
  return { log: await openEmbeddedLog({ ...parts, clock, diskBytesMax }), diskBytesMax };
}

/** Appends until nothing more is taken in; how many were. */
async function flood(log: EmbeddedLog, tenantId: string, events: number): Promise<number> {
  for (let i = 0; i < events; i++) {
    try {
      await log.append([entryOf(tenantId, `${tenantId}-${i}`, 1_000)]);
    } catch (error) {
      if (isErrorCode(error, "log_full")) return i;
      throw error;
    }
  }
  return events;
}

async function freed(log: EmbeddedLog): Promise<void> {
  while ((await log.diskUse())?.isFreeing === true) await new Promise((resolve) => setImmediate(resolve));
}

describe("a log with a bound for its disk", () => {
  it("refuses events before its files come to it, and takes them in again when there is room", async () => {
    const { log, diskBytesMax } = await open(8);
    const taken = await flood(log, "a", 2_000);
    expect(taken).toBeLessThan(2_000);
    expect((await log.diskUse())?.usedBytes).toBeLessThanOrEqual(diskBytesMax);
    expect((await log.diskUse())?.usedBytes).toBeGreaterThan(diskBytesMax - 4 * SEGMENT_BYTES);
    // All that was acknowledged is there.
    expect(await log.read({ tenantId: "a", partition: 0 }, 0, ALL)).toHaveLength(taken);
    await log.trim({ tenantId: "a", partition: 0 }, taken);
    for (let tries = 0; ; tries++) {
      const [one] = await log.append([entryOf("a", "again", 1_000)]).catch(() => []);
      if (one?.type === "appended") break;
      expect(tries).toBeLessThan(10_000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await log.diskUse())?.usedBytes).toBeLessThanOrEqual(diskBytesMax);
    await log.close();
  });

  it("goes on without an end where the oldest give way, and stays below it; a small tenant keeps all", async () => {
    const { log, diskBytesMax } = await open(14);
    const [flooding, small] = ["flood", "small"].map((tenantId) => ({ tenantId, partition: 0 }));
    for (const stream of [flooding!, small!]) await log.openLane({ stream, sink: "raw" }, 0);
    let dropped = 0;
    const room = (): Promise<void> =>
      makeRoom({
        log,
        jobs: async () => [],
        rule: () => ({ ageMs: 1e12, whenFull: "drop_oldest" }),
        now: 1_770_000_000_000,
        stored: () => {},
        dropped: ({ lane, events }) => {
          expect(lane.stream.tenantId).toBe("flood");
          dropped += events;
        },
      });
    for (let i = 0; i < 1_500; i++) {
      if (i % 50 === 0) await log.append([entryOf("small", `s${i}`, 300)]);
      for (let tries = 0; ; tries++) {
        const [one] = await log.append([entryOf("flood", `f${i}`, 1_000)]).catch(() => []);
        if (one !== undefined) break;
        expect(tries).toBeLessThan(100_000);
        await room();
        await freed(log);
        await new Promise((resolve) => setImmediate(resolve));
      }
      if (i % 10 === 0) await room();
      expect((await log.diskUse())?.usedBytes).toBeLessThanOrEqual(diskBytesMax);
    }
    await freed(log);
    expect(await log.bounds(small!)).toEqual({ first: 0, end: 30 });
    expect(await log.read(small!, 0, ALL)).toHaveLength(30);
    const { first, end } = await log.bounds(flooding!);
    expect(end).toBe(1_500);
    expect(first).toBeGreaterThan(500);
    // Nobody delivered any: what is gone is counted, each once.
    expect(dropped).toBe(first);
    expect(await log.loadLane({ stream: flooding!, sink: "raw" })).toMatchObject({
      cursor: first,
      filtered: { dropped_oldest: first },
    });
    await log.close();
  });
});
