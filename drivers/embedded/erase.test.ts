import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { encodeParts } from "../../core/canonical/codec.ts";
import type { AppendEntry, DeadLetter, LaneId } from "../../core/ingestion/log.ts";
import { claimOn, letterOf } from "../../tests/conformance/log-fixtures.ts";
import type { Disk } from "./disk.ts";
import { type EmbeddedLog, openEmbeddedLog } from "./index.ts";
import { SimDisk } from "./sim-disk.ts";
import { noMetrics, quietLogger, seeded, SteppedClock } from "./testing.ts";

const ALL = { entries: 1e6, bytes: 1e9 };
const STREAM = { tenantId: "t", partition: 0 };
const LANE: LaneId = { stream: STREAM, sink: "raw" };
const AT = 1_770_000_000_000;
const SEGMENT_BYTES = 32 << 10;

let folder: string;

beforeEach(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), "pulsegate-log-"));
});
afterEach(() => fs.rm(folder, { recursive: true, force: true }));

function open(disk?: Disk): Promise<EmbeddedLog> {
  const clock = new SteppedClock({ hasty: true });
  const parts = { path: folder, clock, logger: quietLogger, metrics: noMetrics, segmentBytes: SEGMENT_BYTES };
  return openEmbeddedLog(disk === undefined ? parts : { ...parts, disk });
}

const markOf = (i: number): string => `<secret-${i}>`;

function secret(i: number, bytes = 600): AppendEntry {
  const payload = Buffer.from(`{"who":"${markOf(i).repeat(Math.ceil(bytes / 10))}"}`);
  const eventId = `e${i}`;
  const stored = encodeParts({ eventId, tenantId: "t", eventType: "order_paid", source: "http", payload });
  return { stream: STREAM, eventId, bytes: stored };
}

/** The files of the log's folder that hold a text. */
async function holding(text: string): Promise<string[]> {
  const names = await fs.readdir(folder, { recursive: true, withFileTypes: true });
  const files = names.filter((one) => one.isFile()).map((one) => path.join(one.parentPath, one.name));
  const found = await Promise.all(files.map(async (file) => ((await fs.readFile(file)).includes(text) ? [file] : [])));
  return found.flat().map((file) => path.relative(folder, file));
}

describe("an erasure", () => {
  it("leaves no byte of the payloads in any file of the log, at once and while it is open", async () => {
    const log = await open();
    for (let i = 0; i < 200; i++) await log.append([secret(i)]);
    await log.openLane(LANE, 0);
    const claim = await claimOn(log, STREAM);
    const dead = [20, 21, 22, 150].map(letterAt);
    const exceptions = dead.map(({ sequence: from }) => ({ from, to: from + 1, outcome: "dead" as const }));
    const settlement = { from: 0, to: 200, exceptions, configRevision: 1, settledAt: AT };
    await log.commit([{ lane: LANE, claim, settlement, deadLetters: dead }]);
    expect(await holding(markOf(21))).toHaveLength(1);
    const keys = () => fs.readFile(path.join(folder, "state/letter-keys"));
    const before = await keys();
    expect(await log.erase(STREAM, [21, 22, 100, 199], AT)).toEqual({ events: 4, deadLetters: 2 });
    for (const i of [21, 22, 100, 199]) expect(await holding(markOf(i)), markOf(i)).toEqual([]);
    // What the state has not overwritten can't be read: of four keys, two are not what they were.
    const after = await keys();
    const isOverwritten = [0, 1, 2, 3].map(
      (i) => before.compare(after, i * 32, i * 32 + 32, i * 32, i * 32 + 32) !== 0,
    );
    expect(isOverwritten.filter(Boolean)).toHaveLength(2);
    expect(await log.deadLetters({ limit: 10 })).toMatchObject([{ sequence: 20 }, { sequence: 150 }]);
    for (const i of [20, 23, 150]) expect((await holding(markOf(i))).length, markOf(i)).toBe(1);
    expect(await log.deadLetter(LANE, 20)).toMatchObject({ message: markOf(20) });
    // Neither do groups tell: their message is of a letter that is there.
    const groups = await log.deadLetterGroups({});
    for (const i of [21, 22]) expect(JSON.stringify(groups)).not.toContain(markOf(i));
    const entries = await log.read(STREAM, 0, ALL);
    expect(entries.filter(({ erasedAt }) => erasedAt !== undefined).map(({ sequence }) => sequence)).toEqual([
      21, 22, 100, 199,
    ]);
    await log.close();
    const again = await open();
    expect(await again.deadLetters({ limit: 10 })).toMatchObject([{ sequence: 20 }, { sequence: 150 }]);
    expect(await again.loadLane(LANE)).toMatchObject({ dead: 2, erased: 2 });
    expect((await fs.readdir(folder)).sort()).toEqual(["lock.json", "log.json", "segments", "state"]);
    await again.close();
  });

  it("takes the keys of dead letters that went before along, and of none that is there", async () => {
    const log = await open();
    for (let i = 0; i < 3; i++) await log.append([secret(i)]);
    await log.openLane(LANE, 0);
    const dead = [0, 1].map(letterAt);
    const exceptions = [{ from: 0, to: 2, outcome: "dead" as const }];
    const settlement = { from: 0, to: 3, exceptions, configRevision: 1, settledAt: AT };
    await log.commit([{ lane: LANE, claim: await claimOn(log, STREAM), settlement, deadLetters: dead }]);
    const before = await fs.readFile(path.join(folder, "state/letter-keys"));
    await log.discard([{ lane: LANE, sequence: 1 }], { at: AT, reason: "discarded" });
    expect(await log.erase(STREAM, [1], AT)).toEqual({ events: 1, deadLetters: 0 });
    const after = await fs.readFile(path.join(folder, "state/letter-keys"));
    expect([before.subarray(0, 32).equals(after.subarray(0, 32)), before.equals(after)]).toEqual([true, false]);
    expect(await log.deadLetter(LANE, 0)).toEqual(letterAt(0));
    await log.close();
    expect(await holding(markOf(1))).toEqual([]);
  });
});

function letterAt(sequence: number): DeadLetter {
  const mark = markOf(sequence);
  return { ...letterOf(LANE, sequence), message: mark, response: mark, bytes: secret(sequence).bytes };
}

describe("an erasure that the power cuts off", () => {
  it.each(Array.from({ length: 40 }, (_, i) => i + 1))("is ended by the next start, seed %i", async (seed) => {
    const random = seeded(seed);
    const before = new SimDisk();
    const log = await open(before);
    for (let i = 0; i < 60; i++) await log.append([secret(i)]);
    const chosen = Array.from({ length: 60 }, (_, i) => i).filter(() => random() < 0.2);
    // A disk whose power goes at the sync of a segment: any part of what was written is there afterwards.
    let syncs = Math.floor(random() * 3);
    let after: SimDisk | undefined;
    const sync = before.sync.bind(before);
    before.sync = (file) => {
      if (syncs-- > 0) return sync(file);
      after ??= before.losePower(random);
      throw Object.assign(new Error("no power"), { code: "EIO" });
    };
    await log.erase(STREAM, chosen, AT).catch(() => undefined);
    after ??= before.losePower(random);
    await log.close();
    const again = await open(after);
    const entries = await again.read(STREAM, 0, ALL);
    expect(entries.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 60 }, (_, i) => i));
    const isErased = entries.filter(({ erasedAt }) => erasedAt !== undefined).map(({ sequence }) => sequence);
    expect([[], chosen]).toContainEqual(isErased);
    for (const { sequence, bytes } of entries)
      expect(bytes.includes(markOf(sequence))).toBe(!isErased.includes(sequence));
    for (const name of after.paths.filter((one) => one.endsWith(".seg")))
      for (const i of isErased)
        expect(after.contentOf(name).includes(markOf(i)), `${markOf(i)} in ${name}`).toBe(false);
    expect(await again.append([secret(1000)])).toMatchObject([{ sequence: 60 }]);
    await again.close();
  });
});
