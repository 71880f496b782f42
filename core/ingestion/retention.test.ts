import { describe, expect, test } from "vitest";
import { openMemoryLog } from "../../drivers/memory/index.ts";
import { appendMany, claimOn, commitOne, letterOf } from "../../tests/conformance/log-fixtures.ts";
import { SimClock } from "../../tests/helpers/sim-clock.ts";
import { auditLane, ledgerOf } from "./ledger.ts";
import type { DiskUse, LaneId, Stream } from "./log.ts";
import { makeRoom, type RetentionRule, trimOnce, type TrimOptions } from "./retention.ts";

const HOUR_MS = 3_600_000;
const SHOP: Stream = { tenantId: "shop", partition: 0 };
const BANK: Stream = { tenantId: "bank", partition: 0 };
const LANE: LaneId = { stream: SHOP, sink: "raw" };
const KEEP: RetentionRule = { ageMs: 1_000 * HOUR_MS, whenFull: "refuse" };

type Rules = Readonly<Record<string, Partial<RetentionRule>>>;

function setUp() {
  const clock = new SimClock();
  const log = openMemoryLog({ clock });
  const dropped: [string, string | undefined, number][] = [];
  let sizes: ReadonlyMap<string, number> = new Map();
  const optionsOf = (rules: Rules, jobs: Awaited<ReturnType<TrimOptions["jobs"]>> = []): TrimOptions => ({
    log,
    jobs: async () => jobs,
    rule: (tenantId) => ({ ...KEEP, ...rules[tenantId] }),
    now: clock.now(),
    stored: (bytes) => {
      sizes = bytes;
    },
    dropped: ({ lane, events }) => dropped.push([lane.sink, lane.job, events]),
  });
  const kept = async (stream = SHOP) => {
    const { first, end } = await log.bounds(stream);
    return [first, end];
  };
  return { clock, log, dropped, optionsOf, kept, sizes: () => sizes };
}

/** Bytes of `events` of the fixtures' events. */
async function bytesOf(log: ReturnType<typeof openMemoryLog>, stream: Stream, events: number): Promise<number> {
  const { first, end } = await log.bounds(stream);
  return ((await log.storedBytes(stream)) / (end - first)) * events;
}

async function expectBalanced(log: ReturnType<typeof openMemoryLog>): Promise<void> {
  for (const { lane, imbalance } of await ledgerOf({ reader: log, lanes: log })) {
    expect(imbalance).toBe(0);
    expect((await auditLane({ reader: log, lanes: log }, lane))?.faults).toEqual([]);
  }
}

describe("retention by bytes", () => {
  test("keeps the newest events of each tenant, and leaves other tenants' alone", async () => {
    const { log, optionsOf, kept, sizes } = setUp();
    await appendMany(log, { stream: SHOP, count: 100 });
    await appendMany(log, { stream: BANK, count: 100 });
    const bytesMax = await bytesOf(log, SHOP, 30);
    await trimOnce(optionsOf({ shop: { bytesMax } }));
    const [first = 0] = await kept(SHOP);
    expect(first).toBeGreaterThanOrEqual(70);
    expect(first).toBeLessThan(74);
    expect(await kept(BANK)).toEqual([0, 100]);
    expect(sizes().get("shop")).toBeLessThanOrEqual(bytesMax);
    expect(sizes().get("bank")).toBe(await log.storedBytes(BANK));
  });

  test("is of all of a tenant's partitions together", async () => {
    const { log, optionsOf, kept } = setUp();
    const second = { ...SHOP, partition: 1 };
    await appendMany(log, { stream: SHOP, count: 90 });
    await appendMany(log, { stream: second, count: 30, prefix: "p" });
    await trimOnce(optionsOf({ shop: { bytesMax: (await bytesOf(log, SHOP, 1)) * 40 } }));
    const [a = 0] = await kept(SHOP);
    const [b = 0] = await kept(second);
    expect([Math.round((90 - a) / 10), Math.round((30 - b) / 10)]).toEqual([3, 1]);
  });

  test("never passes a lane or a job where what comes in gives way", async () => {
    const { log, optionsOf, kept, dropped } = setUp();
    await appendMany(log, { stream: SHOP, count: 50 });
    await log.openLane(LANE, 0);
    await commitOne(log, { lane: LANE, claim: await claimOn(log, SHOP), from: 0, to: 20 });
    await trimOnce(optionsOf({ shop: { bytesMax: 1 } }));
    expect(await kept()).toEqual([20, 50]);
    await commitOne(log, { lane: LANE, claim: await claimOn(log, SHOP), from: 20, to: 50 });
    const job = { lanes: [{ lane: { ...LANE, job: "j" }, from: 30, to: 50 }] };
    await trimOnce(optionsOf({ shop: { bytesMax: 1 } }, [job]));
    expect(await kept()).toEqual([30, 50]);
    expect(dropped).toEqual([]);
  });

  test("passes lanes and jobs where the oldest gives way, and the ledger tells how many, by lane and reason", async () => {
    const { log, optionsOf, kept, dropped } = setUp();
    await appendMany(log, { stream: SHOP, count: 50 });
    const ofJob = { ...LANE, job: "j" };
    for (const lane of [LANE, ofJob]) await log.openLane(lane, 0);
    const claim = await claimOn(log, SHOP);
    const exceptions = [{ from: 3, to: 4, outcome: "dead" as const }];
    await commitOne(log, { lane: LANE, claim, from: 0, to: 20, exceptions });
    const job = { lanes: [{ lane: ofJob, from: 0, to: 50 }] };
    const bytesMax = (await bytesOf(log, SHOP, 10)) + 1;
    await trimOnce(optionsOf({ shop: { bytesMax, whenFull: "drop_oldest" } }, [job]));
    const [first = 0] = await kept();
    expect(first).toBeGreaterThanOrEqual(40);
    expect(dropped).toEqual([
      ["raw", undefined, first - 20],
      ["raw", "j", first],
    ]);
    expect(await log.loadLane(LANE)).toMatchObject({
      cursor: first,
      filtered: { dropped_oldest: first - 20 },
      dead: 1,
    });
    await expectBalanced(log);
    // A job's lane ends where the job does.
    const ended = { ...LANE, job: "k" };
    await log.openLane(ended, 0);
    await trimOnce(
      optionsOf({ shop: { bytesMax: 1, whenFull: "drop_oldest" } }, [{ lanes: [{ lane: ended, from: 0, to: 7 }] }]),
    );
    expect(await log.loadLane(ended)).toMatchObject({ cursor: 7, filtered: { dropped_oldest: 7 } });
    // A dead letter holds its event itself.
    expect(await log.deadLetter(LANE, 3)).toMatchObject({ sequence: 3 });
  });
});

describe("retention by age", () => {
  test("is each tenant's own", async () => {
    const { clock, log, optionsOf, kept } = setUp();
    await appendMany(log, { stream: SHOP, count: 5 });
    await appendMany(log, { stream: BANK, count: 5 });
    await clock.advance(2 * HOUR_MS);
    await trimOnce(optionsOf({ shop: { ageMs: HOUR_MS } }));
    expect(await kept(SHOP)).toEqual([5, 5]);
    expect(await kept(BANK)).toEqual([0, 5]);
  });

  test("drops nothing that is not settled, whatever gives way when there is no room", async () => {
    const { clock, log, optionsOf, kept, dropped } = setUp();
    await appendMany(log, { stream: SHOP, count: 5 });
    await log.openLane(LANE, 0);
    await clock.advance(2 * HOUR_MS);
    await trimOnce(optionsOf({ shop: { ageMs: HOUR_MS, whenFull: "drop_oldest" } }));
    expect(await kept()).toEqual([0, 5]);
    expect(dropped).toEqual([]);
  });

  test("of dead letters counts from when they died, and leaves the others", async () => {
    const { clock, log, optionsOf } = setUp();
    await appendMany(log, { stream: SHOP, count: 300 });
    await log.openLane(LANE, 0);
    const claim = await claimOn(log, SHOP);
    const bornAt = clock.now();
    const deadLetters = Array.from({ length: 300 }, (_, sequence) => ({
      ...letterOf(LANE, sequence),
      receivedAt: bornAt,
      // The last ten were redriven, and failed again later.
      diedAt: sequence < 290 ? bornAt : bornAt + 5 * HOUR_MS,
    }));
    const exceptions = [{ from: 0, to: 300, outcome: "dead" as const }];
    const settlement = { from: 0, to: 300, exceptions, configRevision: 1, settledAt: bornAt };
    expect(await log.commit([{ lane: LANE, claim, settlement, deadLetters }])).toMatchObject([{ status: "fulfilled" }]);
    await clock.advance(6 * HOUR_MS);
    await trimOnce(optionsOf({ shop: {} }));
    expect(await log.loadLane(LANE)).toMatchObject({ dead: 300 });
    await trimOnce(optionsOf({ shop: { deadLetterAgeMs: 2 * HOUR_MS } }));
    expect(await log.loadLane(LANE)).toMatchObject({ dead: 10, filtered: { expired: 290 } });
    await expectBalanced(log);
  });
});

describe("making room", () => {
  const near: DiskUse = { usedBytes: 900, isFreeing: false, bytesMax: 1_100, fullAtBytes: 1_000 };

  async function fill(use: DiskUse) {
    const parts = setUp();
    const { log } = parts;
    log.diskUse = async () => use;
    for (const [tenantId, count] of [
      ["small", 20],
      ["large", 100],
      ["largest", 300],
      ["kept", 200],
    ] as const) {
      const lane = { stream: { tenantId, partition: 0 }, sink: "raw" };
      await appendMany(log, { stream: lane.stream, count, prefix: tenantId });
      await log.openLane(lane, 0);
    }
    const drop = { whenFull: "drop_oldest" as const };
    const room = () => makeRoom(parts.optionsOf({ small: drop, large: drop, largest: drop }));
    const left = async () =>
      Promise.all(
        ["small", "large", "largest", "kept"].map(async (tenantId) => {
          const { first, end } = await log.bounds({ tenantId, partition: 0 });
          return end - first;
        }),
      );
    return { ...parts, room, left };
  }

  test("cuts the largest of those whose oldest give way to one level, and counts what was not delivered", async () => {
    const { log, room, left, dropped } = await fill(near);
    await room();
    // 200 of 900 have to go, of 620 events: about 138.
    const [small, large, largest = 0, kept] = await left();
    expect([small, large, kept]).toEqual([20, 100, 200]);
    expect(largest).toBeGreaterThan(155);
    expect(largest).toBeLessThan(170);
    // One more round, as if that had freed nothing: now two are at one level.
    await room();
    const [, second = 0, third = 0] = await left();
    expect(Math.abs(second - third)).toBeLessThanOrEqual(2);
    expect(second).toBeGreaterThan(70);
    expect(second).toBeLessThan(85);
    expect(dropped.reduce((sum, [, , events]) => sum + events, 0)).toBe(400 - second - third);
    await expectBalanced(log);
  });

  test.each([
    ["there is room", { ...near, usedBytes: 800 }],
    ["what went before is still being freed", { ...near, isFreeing: true }],
    ["there is no bound", { usedBytes: 900, isFreeing: false }],
  ])("does nothing while %s", async (_when, use) => {
    const { room, left } = await fill(use);
    await room();
    expect(await left()).toEqual([20, 100, 300, 200]);
  });

  test("leaves all events where none may be dropped: what comes in is refused instead", async () => {
    const { log, optionsOf, left, dropped } = await fill(near);
    await makeRoom(optionsOf({}));
    expect(await left()).toEqual([20, 100, 300, 200]);
    expect(dropped).toEqual([]);
    await expectBalanced(log);
  });
});
