import { describe, expect, it } from "vitest";
import type { JobLaneOrder } from "../core/ingestion/jobs.ts";
import { openMemoryLog } from "../drivers/memory/index.ts";
import { SimClock } from "../tests/helpers/sim-clock.ts";
import { appendEvents, lane } from "../tests/helpers/worker-bench.ts";
import { ReplaySource } from "./replay-source.ts";
import { Timers } from "./timers.ts";

const LANE = { ...lane("a", "fake"), job: "replay-1" };
const LIMITS = { entries: 1_000, bytes: 1 << 20 };
const STATE = { start: 10, cursor: 14, delivered: 3, filtered: { "job: not selected": 1 }, dead: 0, erased: 0 };

async function sourceOf(change: Partial<JobLaneOrder> = {}, eventTypes?: readonly string[]) {
  const clock = new SimClock();
  const log = openMemoryLog({ clock });
  await appendEvents(log, "a", { count: 100 });
  const laneOrder: JobLaneOrder = { lane: LANE, from: 10, to: 60, ...change };
  const order = { id: "replay-1", tenantId: "a", selection: { eventTypes }, lanes: [laneOrder], idleShare: 1 };
  const source = new ReplaySource({ deps: { log, timers: new Timers(clock) }, order, laneOrder, state: STATE });
  const sequences = async (from: number) =>
    (await source.read(from, LIMITS)).map((item) => ("to" in item ? [item.sequence, item.to] : item.sequence));
  return { clock, log, source, laneOrder, sequences };
}

describe("a job's source", () => {
  it("counts what was settled before against its bound, and nothing twice that is read again", async () => {
    const { source, laneOrder, sequences } = await sourceOf({ eventsMax: 8 });
    expect(await sequences(14)).toEqual([14, 15, 16, 17, 18]);
    expect(source.waitMs()).toBe(Number.POSITIVE_INFINITY);
    expect(await sequences(19)).toEqual([]);
    expect(await sequences(17)).toEqual([17, 18]);
    expect(source.waitMs()).toBe(Number.POSITIVE_INFINITY);
    source.update({ ...laneOrder, eventsMax: 10 });
    expect(source.waitMs()).toBe(0);
    expect(await sequences(19)).toEqual([19, 20]);
  });

  it("ends where its range does, and reads nothing behind it", async () => {
    const { sequences } = await sourceOf();
    expect(await sequences(57)).toEqual([57, 58, 59]);
    expect(await sequences(60)).toEqual([]);
  });

  it("makes one gap of a run that is not selected", async () => {
    const { sequences } = await sourceOf({}, ["other"]);
    expect(await sequences(10)).toEqual([[10, 60]]);
  });

  it("says what the log has lost, within the range and behind it", async () => {
    const { log, sequences } = await sourceOf();
    await log.trim(LANE.stream, 20);
    expect((await sequences(14)).slice(0, 2)).toEqual([[14, 20], 20]);
    await log.trim(LANE.stream, 80);
    expect(await sequences(14)).toEqual([[14, 60]]);
    await log.trim(LANE.stream, 100);
    expect(await sequences(14)).toEqual([[14, 60]]);
  });
});
