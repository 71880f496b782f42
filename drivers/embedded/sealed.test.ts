import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isErrorCode } from "../../core/canonical/errors.ts";
import { type DeadLetter, slotOf } from "../../core/ingestion/log.ts";
import { type EmbeddedLog, type EmbeddedLogOptions, openEmbeddedLog } from "./index.ts";
import { SimDisk } from "./sim-disk.ts";
import { entryOf, noMetrics, quietLogger, seeded, SteppedClock } from "./testing.ts";

const ALL = { entries: 1e6, bytes: 1e9 };
const DAY_MS = 24 * 3_600_000;

let folder: string;
let disk: SimDisk;
let clock: SteppedClock;

beforeEach(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), "pulsegate-log-"));
  disk = new SimDisk();
  clock = new SteppedClock({ hasty: true });
});
afterEach(() => fs.rm(folder, { recursive: true, force: true }));

function open(options: Partial<EmbeddedLogOptions> = {}): Promise<EmbeddedLog> {
  return openEmbeddedLog({
    path: folder,
    clock,
    logger: quietLogger,
    metrics: noMetrics,
    segmentBytes: 16 << 10,
    disk,
    ...options,
  });
}

function segments(kind: "seg" | "idx"): number[] {
  return disk.paths.filter((name) => name.endsWith(`.${kind}`)).map((name) => Number(path.basename(name, `.${kind}`)));
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

async function fill(log: EmbeddedLog, tenantId: string, from: number, to: number): Promise<void> {
  for (let i = from; i < to; i++) await log.append([entryOf(tenantId, `e${i}`, 500)]);
}

describe("sealed segments", () => {
  it("serve streams of any size and spread as the active one does, also after a restart", async () => {
    const random = seeded(11);
    let log = await open();
    const written = new Map<string, string[]>();
    for (let call = 0; call < 150; call++) {
      const entries = Array.from({ length: 1 + Math.floor(random() * 12) }, (_, i) => {
        // A few busy streams, many that are seen once in a while.
        const tenantId = random() < 0.6 ? `busy_${Math.floor(random() * 3)}` : `rare_${Math.floor(random() * 60)}`;
        const entry = entryOf(tenantId, `c${call}-${i}`, Math.floor(random() * 800));
        written.set(tenantId, [...(written.get(tenantId) ?? []), entry.eventId]);
        return entry;
      });
      await log.append(entries);
    }
    expect(segments("seg").length).toBeGreaterThan(20);
    for (const round of ["live", "restarted"]) {
      for (const [tenantId, ids] of written) {
        const stream = { tenantId, partition: 0 };
        const from = Math.floor(random() * ids.length);
        const entries = await log.read(stream, from, ALL);
        const found = entries.map((entry) => (JSON.parse(entry.bytes.toString()) as { event_id: string }).event_id);
        expect(found, `${round} ${tenantId}`).toEqual(ids.slice(from));
        expect(await log.bounds(stream)).toEqual({ first: 0, end: ids.length });
        const some = Math.floor(random() * ids.length);
        expect(await log.find(tenantId, ids[some] as string)).toMatchObject({ stream, sequence: some });
      }
      await log.close();
      log = await open();
    }
    await log.close();
  });

  it("are found by time", async () => {
    const log = await open();
    const times: number[] = [];
    for (let i = 0; i < 120; i++) {
      if (i % 3 === 0) clock.step(60_000);
      const [result] = await log.append([entryOf(i % 5 === 0 ? "other" : "t", `e${i}`, 500)]);
      if (i % 5 !== 0 && result?.type === "appended") times.push(result.receivedAt);
    }
    for (const [i, time] of times.entries()) {
      expect(await log.seek({ tenantId: "t", partition: 0 }, time)).toBe(times.indexOf(time));
      expect(await log.seek({ tenantId: "t", partition: 0 }, time + 1)).toBe(
        times.findLastIndex((other) => other === time) + 1,
      );
      expect(i).toBeLessThan(times.length);
    }
    await log.close();
  });
});

describe("a damaged sidecar", () => {
  it("never makes a stream's events look as if they had never been", async () => {
    const real = { disk: undefined, clock: new SteppedClock() };
    const log = await open(real);
    await fill(log, "a", 0, 150);
    await log.close();
    const indexes = (await fs.readdir(folder, { recursive: true })).filter((name) => name.endsWith(".idx")).sort();
    expect(indexes.length).toBeGreaterThan(2);
    for (const name of indexes.slice(0, 2)) {
      const file = path.join(folder, name);
      const intact = await fs.readFile(file);
      for (let at = 0; at < intact.length; at += 29) {
        const damaged = Buffer.from(intact);
        damaged[at] = (damaged[at] as number) ^ 0x5a;
        await fs.writeFile(file, damaged);
        expect(await readable(real)).toBe("all or refused");
      }
      await fs.writeFile(file, intact);
    }
  });
});

/** Ids and offsets may be damaged too: what is read is then compared with its own frame. */
async function readable(options: Partial<EmbeddedLogOptions>): Promise<string> {
  let log: EmbeddedLog | undefined;
  try {
    log = await open(options);
    const stream = { tenantId: "a", partition: 0 };
    const sequences: number[] = [];
    for (let from = (await log.bounds(stream)).first; ; ) {
      const entries = await log.read(stream, from, ALL);
      if (entries.length === 0) break;
      sequences.push(...entries.map((entry) => entry.sequence));
      from = (sequences.at(-1) as number) + 1;
    }
    return sequences.length === 150 ? "all or refused" : `${sequences.length} of 150, silently`;
  } catch (error) {
    if (isErrorCode(error, "log_corrupt")) return "all or refused";
    throw error;
  } finally {
    await log?.close();
  }
}

describe("trimming", () => {
  it("removes segments that every stream has let go of, once deduplication needs them no more", async () => {
    const log = await open();
    const [a, b] = [
      { tenantId: "a", partition: 0 },
      { tenantId: "b", partition: 0 },
    ];
    await fill(log, "a", 0, 60);
    await fill(log, "b", 0, 60);
    await fill(log, "a", 60, 62);
    await until(() => segments("idx").length >= segments("seg").length - 2);
    await log.trim(a, 62);
    expect(segments("seg")[0]).toBe(1);
    clock.step(DAY_MS + 1000);
    await log.append([entryOf("a", "now")]);
    await log.trim(a, 63);
    // A segment that is being compacted goes when that is done.
    await until(() => (segments("seg")[0] as number) > 1);
    const afterA = segments("seg")[0] as number;
    expect((await log.bounds(b)).first).toBe(0);
    expect(await log.read(b, 0, ALL)).toHaveLength(60);
    await log.trim(b, 60);
    await until(() => (segments("seg")[0] as number) > afterA);
    // What lies in segments that are still there is let go of all the same.
    expect(await log.bounds(b)).toEqual({ first: 60, end: 60 });
    expect(await log.read(b, 0, ALL)).toEqual([]);
    expect(await log.find("b", "e59")).toBeUndefined();
    await log.close();
    // Sequences go on where they were, though no entry is left to tell.
    const again = await open();
    const { first, end } = await again.bounds(b);
    expect(end).toBe(60);
    const stored = await again.read(b, 0, ALL);
    expect(stored.map(({ sequence }) => sequence)).toEqual(Array.from({ length: end - first }, (_, i) => first + i));
    expect(await again.append([entryOf("b", "next")])).toMatchObject([{ sequence: 60 }]);
    await again.close();
  });

  it("goes on reading a segment that can't be removed, and removes it at a later try", async () => {
    const log = await open();
    const stream = { tenantId: "a", partition: 0 };
    await fill(log, "a", 0, 60);
    await until(() => segments("idx").length >= segments("seg").length - 2);
    clock.step(DAY_MS + 1000);
    await log.append([entryOf("a", "now")]);
    const { remove } = disk;
    disk.remove = () => {
      throw Object.assign(new Error("simulated"), { code: "EIO" });
    };
    await log.trim(stream, 60);
    expect(segments("seg")[0]).toBe(1);
    expect(await log.bounds(stream)).toEqual({ first: 60, end: 61 });
    expect(await log.read(stream, 0, ALL)).toHaveLength(1);
    disk.remove = remove;
    await log.trim(stream, 60);
    expect(segments("seg")[0]).toBeGreaterThan(1);
    await log.close();
  });

  it("takes the settlements of removed events along", async () => {
    const log = await open();
    const lane = { stream: { tenantId: "t", partition: 0 }, sink: "raw" };
    await log.openLane(lane, "start");
    const claims = await log.claims("w");
    const [held] = await Array.fromAsync(takeOne(claims.held(new AbortController().signal)));
    const claim = held?.find(({ slot }) => slot === slotOf(lane.stream));
    if (claim === undefined) throw new Error("no claim");
    await fill(log, "t", 0, 120);
    for (let from = 0; from < 120; from += 10) {
      const settlement = { from, to: from + 10, exceptions: [], configRevision: 1, settledAt: 0 };
      expect(await log.commit([{ lane, claim, settlement, deadLetters: [] }])).toMatchObject([{ status: "fulfilled" }]);
    }
    clock.step(DAY_MS + 1000);
    await log.append([entryOf("t", "now")]);
    await until(() => segments("idx").length >= segments("seg").length - 2);
    await log.trim(lane.stream, 120);
    const { first } = await log.bounds(lane.stream);
    expect(first).toBeGreaterThan(20);
    while ((await log.settlement(lane, 0)) !== undefined) await new Promise((resolve) => setImmediate(resolve));
    expect(await log.settlement(lane, 119)).toMatchObject({ from: 110, to: 120 });
    await log.close();
  });
});

describe("the bound on deduplication's memory", () => {
  it("forgets the oldest first, says so, and keeps the newest exact, also after a restart", async () => {
    let windowSeconds = 0;
    const metrics = {
      ...noMetrics,
      dedup: (state: { windowSeconds: number }) => {
        ({ windowSeconds } = state);
      },
    };
    // Each filter takes the ids of about two segments, and there is no room for more than the one that is always kept.
    const options = { metrics, filterIdsMax: 64, dedupBytesMax: 384 };
    let log = await open(options);
    for (let i = 0; i < 300; i++) {
      clock.step(1000);
      await log.append([entryOf("t", `e${i}`, 500)]);
    }
    await until(() => segments("idx").length >= segments("seg").length - 2);
    expect(disk.paths.some((name) => name.endsWith(".flt"))).toBe(true);
    for (const round of ["live", "restarted"]) {
      expect(windowSeconds, round).toBeGreaterThan(50);
      expect(windowSeconds, round).toBeLessThan(290);
      const young = 300 - Math.floor(windowSeconds - 5);
      for (let i = young; i < 300; i += 7) {
        expect(await log.append([entryOf("t", `e${i}`, 500)]), round).toMatchObject([
          { type: "duplicate", sequence: i },
        ]);
      }
      // Forgotten for deduplication, but still stored and found.
      expect(await log.find("t", "e3")).toMatchObject({ sequence: 3 });
      await log.close();
      log = await open(options);
    }
    expect(await log.append([entryOf("t", "e3", 500)])).toMatchObject([{ type: "appended", sequence: 300 }]);
    await log.close();
  });

  it("does not shorten the window while there is room", async () => {
    let log = await open({ filterIdsMax: 64 });
    await fill(log, "t", 0, 300);
    for (const round of ["live", "restarted", "again"]) {
      for (let i = 0; i < 300; i += 11) {
        expect(await log.append([entryOf("t", `e${i}`, 500)]), round).toMatchObject([
          { type: "duplicate", sequence: i },
        ]);
      }
      await log.close();
      log = await open({ filterIdsMax: 64 });
    }
    await log.close();
  });
});

it("a filter that is made again at a restart has every id of a large segment", async () => {
  const options = { segmentBytes: 4 << 20 };
  let log = await open(options);
  const entries = Array.from({ length: 30_000 }, (_, i) => entryOf("t", `e${i}`, 10));
  for (let from = 0; from < entries.length; from += 1000) await log.append(entries.slice(from, from + 1000));
  await until(() => segments("idx").length > 0);
  await log.close();
  log = await open(options);
  const again = await log.append(Array.from({ length: 600 }, (_, i) => entryOf("t", `e${i * 50}`, 10)));
  expect(again.filter(({ type }) => type !== "duplicate")).toEqual([]);
  await log.close();
});

async function* takeOne<T>(source: AsyncIterable<T>): AsyncGenerator<T> {
  for await (const item of source) {
    yield item;
    return;
  }
}

describe("state", () => {
  it("is not touched by a commit that can't be written as a whole", async () => {
    const log = await open();
    const lane = { stream: { tenantId: "t", partition: 0 }, sink: "raw" };
    await log.openLane(lane, "start");
    const [held] = await Array.fromAsync(takeOne((await log.claims("w")).held(new AbortController().signal)));
    const claim = held?.find(({ slot }) => slot === slotOf(lane.stream));
    if (claim === undefined) throw new Error("no claim");
    const settlement = { from: 0, to: 1, exceptions: [], configRevision: 1, settledAt: 0 };
    const unwritable = { lane, sequence: 0, bytes: Symbol("no data") } as unknown as DeadLetter;
    await expect(log.commit([{ lane, claim, settlement, deadLetters: [unwritable] }])).rejects.toMatchObject({
      code: "log_unavailable",
    });
    expect(await log.loadLane(lane)).toMatchObject({ cursor: 0, delivered: 0 });
    expect(await log.settlement(lane, 0)).toBeUndefined();
    expect(await log.commit([{ lane, claim, settlement, deadLetters: [] }])).toMatchObject([{ status: "fulfilled" }]);
    await log.close();
  });
});
