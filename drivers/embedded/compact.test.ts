import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { attachEmbeddedLog, type EmbeddedLog, type EmbeddedLogOptions, openEmbeddedLog } from "./index.ts";
import { SimDisk } from "./sim-disk.ts";
import { entryOf, noMetrics, quietLogger, seeded, SteppedClock } from "./testing.ts";

const ALL = { entries: 1e6, bytes: 1e9 };
const GONE = { tenantId: "gone", partition: 0 };
const STAYS = { tenantId: "stays", partition: 0 };
const DAY_MS = 24 * 3_600_000;
const EVENTS = 120;
/** Let go of from tenant `gone`, of its events. */
const BEFORE = 110;

let folder: string;
let clock: SteppedClock;

beforeEach(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), "pulsegate-log-"));
  clock = new SteppedClock({ hasty: true });
});
afterEach(() => fs.rm(folder, { recursive: true, force: true }));

function open(options: Partial<EmbeddedLogOptions> = {}): Promise<EmbeddedLog> {
  const segmentBytes = 32 << 10;
  return openEmbeddedLog({ path: folder, clock, logger: quietLogger, metrics: noMetrics, segmentBytes, ...options });
}

/** Events of two tenants, side by side in each segment; those of one are three times as large. */
async function fill(log: EmbeddedLog): Promise<void> {
  for (let i = 0; i < EVENTS; i++)
    await log.append([entryOf("gone", `g${i}`, 1_500), { ...entryOf("stays", `s${i}`, 300), idempotencyKey: `k${i}` }]);
}

async function freed(log: EmbeddedLog): Promise<void> {
  const isFreeing = async () => (await log.diskUse().catch(() => undefined))?.isFreeing === true;
  while (await isFreeing()) await new Promise((resolve) => setImmediate(resolve));
}

async function idsOf(log: Pick<EmbeddedLog, "read">, stream = STAYS, from = 0): Promise<string[]> {
  return (await log.read(stream, from, ALL)).map(
    ({ bytes }) => (JSON.parse(String(bytes)) as { event_id: string }).event_id,
  );
}

const numbered = (letter: string, from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, i) => `${letter}${from + i}`);

/** What must be so of the events, whatever was compacted. */
async function check(log: EmbeddedLog): Promise<void> {
  expect(await idsOf(log)).toEqual(numbered("s", 0, EVENTS));
  expect((await idsOf(log, GONE, BEFORE)).slice(-10)).toEqual(numbered("g", BEFORE, EVENTS));
  for (const at of [0, 17, EVENTS - 1]) {
    expect(await log.find("stays", `s${at}`)).toMatchObject({ sequence: at });
    const receivedAt = (await log.read(STAYS, at, { entries: 1, bytes: 1 }))[0]?.receivedAt as number;
    expect(await log.seek(STAYS, receivedAt)).toBeLessThanOrEqual(at);
    const repeat = { type: "duplicate", sequence: at };
    expect(await log.append([entryOf("stays", `s${at}`, 300)])).toMatchObject([repeat]);
    expect(await log.append([{ ...entryOf("stays", "new", 300), idempotencyKey: `k${at}` }])).toMatchObject([repeat]);
  }
}

describe("a compaction", () => {
  it("frees the room of what one tenant let go of, and leaves the others' events, names and times alone", async () => {
    const disk = new SimDisk();
    let log = await open({ disk });
    await fill(log);
    const [used, bytes] = [(await log.diskUse())?.usedBytes as number, await log.storedBytes(STAYS)];
    await log.trim(GONE, BEFORE);
    await freed(log);
    expect((await log.diskUse())?.usedBytes).toBeLessThan(used * 0.75);
    expect(await log.bounds(GONE)).toEqual({ first: BEFORE, end: EVENTS });
    await check(log);
    await log.close();
    log = await open({ disk });
    await check(log);
    // Names that are kept for repeats are no entries.
    expect((await log.read(GONE, 0, ALL)).filter(({ erasedAt }) => erasedAt !== undefined)).toEqual([]);
    expect(await log.storedBytes(STAYS)).toBe(bytes);
    expect(await log.seekBytes(STAYS, bytes / 2)).toBeCloseTo(EVENTS / 2, -0.5);
    expect(await log.append([entryOf("stays", "later")])).toMatchObject([{ type: "appended", sequence: EVENTS }]);
    await log.close();
  });

  it("keeps the names of what is gone within the window: a repeat is a duplicate; behind it they go as well", async () => {
    const disk = new SimDisk();
    const log = await open({ disk });
    await fill(log);
    await log.trim(GONE, BEFORE);
    await freed(log);
    expect(await log.append([entryOf("gone", "g3", 1_500)])).toMatchObject([{ type: "duplicate", sequence: 3 }]);
    const inWindow = (await log.diskUse())?.usedBytes as number;
    clock.step(2 * DAY_MS);
    await log.trim(GONE, BEFORE + 1);
    await log.trim(STAYS, EVENTS - 20);
    await freed(log);
    expect((await log.diskUse())?.usedBytes).toBeLessThan(inWindow * 0.7);
    expect(await log.append([entryOf("gone", "g3", 1_500)])).toMatchObject([{ type: "appended" }]);
    await log.close();
  });

  it("takes erased payloads' room back, and they stay erased", async () => {
    const disk = new SimDisk();
    const log = await open({ disk });
    await fill(log);
    const used = (await log.diskUse())?.usedBytes as number;
    const sequences = Array.from({ length: BEFORE }, (_, i) => i);
    await log.erase(GONE, sequences, clock.now());
    await freed(log);
    expect((await log.diskUse())?.usedBytes).toBeLessThan(used * 0.75);
    const entries = await log.read(GONE, 0, ALL);
    expect(entries.filter(({ erasedAt }) => erasedAt !== undefined).map(({ sequence }) => sequence)).toEqual(sequences);
    expect(await log.erase(GONE, [3], clock.now())).toEqual({ events: 0, deadLetters: 0 });
    // In a segment that was compacted, too.
    expect(await log.erase(STAYS, [2], clock.now())).toEqual({ events: 1, deadLetters: 0 });
    expect((await log.read(STAYS, 2, { entries: 1, bytes: 1 }))[0]).toMatchObject({ erasedAt: expect.any(Number) });
    await log.close();
  });

  it("can be done over again, each time without what went since", async () => {
    const disk = new SimDisk();
    const log = await open({ disk });
    await fill(log);
    let used = (await log.diskUse())?.usedBytes as number;
    clock.step(2 * DAY_MS);
    for (const before of [60, BEFORE]) {
      await log.trim(GONE, before);
      await freed(log);
      const now = (await log.diskUse())?.usedBytes as number;
      expect(now).toBeLessThan(used);
      used = now;
    }
    expect(await idsOf(log)).toEqual(numbered("s", 0, EVENTS));
    await log.close();
  });

  it("lets readers of another thread go on, whose files are exchanged under them", async () => {
    const log = await open();
    await fill(log);
    const reader = await attachEmbeddedLog(log.handle({ index: 0, count: 1 }));
    expect(await idsOf(reader)).toEqual(numbered("s", 0, EVENTS));
    await log.trim(GONE, BEFORE);
    let reads = 0;
    while ((await log.diskUse())?.isFreeing === true || reads < 2) {
      expect(await idsOf(reader)).toEqual(numbered("s", 0, EVENTS));
      expect(await idsOf(log, STAYS, 7)).toEqual(numbered("s", 7, EVENTS));
      reads++;
    }
    expect(await idsOf(reader, GONE, BEFORE)).toEqual(numbered("g", BEFORE, EVENTS));
    await reader.close();
    await log.close();
  });
});

describe("a damaged sidecar before a compacted segment", () => {
  it("is a reason not to start that names the one file to put back; with it the log starts", async () => {
    const disk = new SimDisk();
    const log = await open({ disk });
    for (let i = 0; i < 40; i++) await log.append([entryOf("early", `a${i}`, 1_500)]);
    await fill(log);
    await log.trim(GONE, BEFORE);
    await freed(log);
    await log.close();
    const sidecar = disk.contentOf("0000000001.idx");
    const whole = Buffer.from(sidecar);
    sidecar.fill(0xff, 0, 64);
    await expect(open({ disk })).rejects.toMatchObject({
      code: "log_corrupt",
      message: expect.stringMatching(/0000000001\.idx is missing or damaged.* Put this one file back/s) as unknown,
    });
    whole.copy(sidecar);
    const again = await open({ disk });
    await check(again);
    await again.close();
  });
});

describe("a compaction that the power cuts off", () => {
  /** Losing power at the `step`-th change of the disk from here on. */
  function cutAt(disk: SimDisk, step: number, random: () => number): () => SimDisk | undefined {
    let left = step;
    let after: SimDisk | undefined;
    const cut = <A extends unknown[], R>(change: (...args: A) => R) => {
      return (...args: A): R => {
        if (after === undefined && left-- > 0) return change(...args);
        after ??= disk.losePower(random);
        throw Object.assign(new Error("no power"), { code: "EIO" });
      };
    };
    disk.create = cut(disk.create.bind(disk));
    disk.writeSync = cut(disk.writeSync.bind(disk));
    disk.sync = cut(disk.sync.bind(disk));
    disk.rename = cut(disk.rename.bind(disk));
    disk.remove = cut(disk.remove.bind(disk));
    disk.syncFolder = cut(disk.syncFolder.bind(disk));
    return () => after;
  }

  it.each(Array.from({ length: 60 }, (_, i) => i))("loses nothing that stays, at step %i", async (step) => {
    const random = seeded(step + 1);
    const disk = new SimDisk();
    const log = await open({ disk });
    await fill(log);
    const after = cutAt(disk, step, random);
    await log.trim(GONE, BEFORE).catch(() => undefined);
    await freed(log);
    const platter = after() ?? disk.losePower(random);
    await log.close();
    const again = await open({ disk: platter });
    await check(again);
    await again.trim(GONE, BEFORE);
    await freed(again);
    await check(again);
    expect(platter.paths.filter((name) => name.endsWith(".tmp"))).toEqual([]);
    await again.close();
  });

  it.each(Array.from({ length: 32 }, (_, i) => i))(
    "nor when later ones are compacted already, at step %i",
    async (step) => {
      const random = seeded(step + 100);
      const disk = new SimDisk();
      const log = await open({ disk });
      const early = { tenantId: "early", partition: 0 };
      for (let i = 0; i < 40; i++) await log.append([entryOf("early", `a${i}`, 1_500)]);
      await fill(log);
      clock.step(2 * DAY_MS);
      await log.trim(GONE, BEFORE);
      await freed(log);
      // Amid the second segment: the first goes.
      const before = 30;
      const after = cutAt(disk, step, random);
      await log.trim(early, before).catch(() => undefined);
      await freed(log);
      const platter = after() ?? disk.losePower(random);
      await log.close();
      const again = await open({ disk: platter });
      expect(await idsOf(again)).toEqual(numbered("s", 0, EVENTS));
      expect((await idsOf(again, early, before)).slice(-10)).toEqual(numbered("a", before, 40));
      expect(await again.append([entryOf("stays", "later")])).toMatchObject([{ type: "appended", sequence: EVENTS }]);
      await again.close();
    },
  );
});
