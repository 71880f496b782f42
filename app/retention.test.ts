import { expect, test } from "vitest";
import type { Job } from "../core/ingestion/jobs.ts";
import type { LaneId, Stream } from "../core/ingestion/log.ts";
import { slotOf } from "../core/ingestion/log.ts";
import type { RetentionRule } from "../core/ingestion/retention.ts";
import { quietLogger } from "../drivers/embedded/testing.ts";
import { openMemoryLog } from "../drivers/memory/index.ts";
import { claimOn, commitOne } from "../tests/conformance/log-fixtures.ts";
import { SimClock } from "../tests/helpers/sim-clock.ts";
import { appendEvents } from "../tests/helpers/worker-bench.ts";
import { type RetentionOptions, trimInTurn } from "./retention.ts";

const RETENTION_MS = 3_600_000;
const STREAM: Stream = { tenantId: "shop", partition: 0 };
const LANE: LaneId = { stream: STREAM, sink: "raw" };

function optionsOf(parts: Pick<RetentionOptions, "log" | "jobs" | "clock"> & Partial<RetentionRule>): RetentionOptions {
  const { log, jobs, clock, ...own } = parts;
  const rule = { ageMs: RETENTION_MS, whenFull: "refuse" as const, ...own };
  return { log, jobs, clock, rule: () => rule, metrics: { stored() {}, dropped() {} }, logger: quietLogger };
}

/** Four events older than the retention, and one that is not. */
async function setUp() {
  const clock = new SimClock();
  const log = openMemoryLog({ clock });
  await appendEvents(log, "shop", { count: 4, prefix: "old" });
  await clock.advance(2 * RETENTION_MS);
  await appendEvents(log, "shop", { count: 1, prefix: "new" });
  const first = async (jobs: readonly Pick<Job, "lanes">[] = []) => {
    await clock.advance(60_000);
    await trimInTurn(optionsOf({ log, jobs: async () => jobs, clock }));
    return (await log.bounds(STREAM)).first;
  };
  return { log, first };
}

test("what a lane has not settled stays, however old", async () => {
  const { log, first } = await setUp();
  await log.openLane(LANE, "start");
  expect(await first()).toBe(0);
  const stop = new AbortController();
  for await (const held of (await log.claims("w")).held(stop.signal)) {
    const claim = held.find(({ slot }) => slot === slotOf(STREAM));
    if (claim === undefined) continue;
    const settlement = { from: 0, to: 3, exceptions: [], configRevision: 1, settledAt: 0 };
    await log.commit([{ lane: LANE, claim, settlement, deadLetters: [] }]);
    break;
  }
  stop.abort();
  expect(await first()).toBe(3);
});

test("a stream without lanes is trimmed by age, also when its tenant is gone", async () => {
  const { first } = await setUp();
  expect(await first()).toBe(4);
});

test("a dropped lane holds nothing any more", async () => {
  const { log, first } = await setUp();
  await log.openLane(LANE, "start");
  expect(await first()).toBe(0);
  await log.dropLane(LANE);
  expect(await first()).toBe(4);
});

test("what a job still wants stays, from its cursor on; a redrive wants nothing, for letters hold their events", async () => {
  const { log, first } = await setUp();
  const lane = { ...LANE, job: "replay-1" };
  const jobs = [{ lanes: [{ lane, from: 2, to: 4 }] }];
  expect(await first(jobs)).toBe(2);
  await log.openLane(lane, 3);
  expect(await first(jobs)).toBe(3);
  expect(await first([{ lanes: [{ lane, of: LANE, from: 2, to: 4 }] }])).toBe(4);
});

test("a job's lane is forgotten when its job has ended, its events are gone and it has no dead letters", async () => {
  const { log, first } = await setUp();
  const [early, late, dead] = ["replay-1", "replay-2", "replay-3"].map((job) => ({ ...LANE, job }));
  await log.openLane(early!, 4);
  await log.openLane(late!, 5);
  await log.openLane(dead!, 0);
  const claim = await claimOn(log, STREAM);
  await commitOne(log, { lane: dead!, claim, from: 0, to: 1, exceptions: [{ from: 0, to: 1, outcome: "dead" }] });
  const jobs = async () => (await log.jobLanes()).map(({ lane }) => lane.job);
  expect(await first([{ lanes: [{ lane: early!, from: 4, to: 5 }] }])).toBe(4);
  expect(await jobs()).toEqual(["replay-1", "replay-2", "replay-3"]);
  expect(await first()).toBe(4);
  expect(await jobs()).toEqual(["replay-2", "replay-3"]);
});

test("of several processes one trims in a round", async () => {
  const clock = new SimClock();
  const log = openMemoryLog({ clock });
  let trims = 0;
  const jobs = async () => {
    trims += 1;
    return [];
  };
  const trim = () => trimInTurn(optionsOf({ log, jobs, clock }));
  await trim();
  const once = trims;
  await trim();
  expect(trims).toBe(once);
  await clock.advance(60_000);
  await Promise.all([trim(), trim(), trim()]);
  expect(trims).toBe(2 * once);
});
