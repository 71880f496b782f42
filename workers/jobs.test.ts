import { afterEach, describe, expect, it } from "vitest";
import type { LaneId } from "../core/ingestion/log.ts";
import { auditLane, ledgerOf } from "../core/ingestion/ledger.ts";
import type { CanonicalEvent, SinkOutcome } from "../plugins/contract.ts";
import { FakeSink } from "../tests/helpers/fake-sink.ts";
import { JobBench } from "../tests/helpers/job-bench.ts";
import { appendEvents, entry, lane, sinkUse, tenant } from "../tests/helpers/worker-bench.ts";

const benches: JobBench[] = [];
const LANE = lane("a", "fake");
const OK: SinkOutcome = { type: "ok" };

afterEach(async () => {
  for (const { bench } of benches.splice(0)) await bench.stop();
});

interface Delivery {
  readonly id: string;
  readonly replayId: string | undefined;
}

/** A sink whose every delivery is noted, and which refuses the events that the test says. */
function notingSink() {
  const sink = new FakeSink();
  const deliveries: Delivery[] = [];
  const faults = { refused: (_event: CanonicalEvent): SinkOutcome | undefined => undefined };
  sink.behave = (events, { replayId }) =>
    events.map((event) => {
      const refusal = faults.refused(event);
      if (refusal === undefined) deliveries.push({ id: event.event_id, replayId });
      return refusal ?? OK;
    });
  return { sink, deliveries, faults };
}

async function start(sinkChange: Parameters<typeof sinkUse>[1] = {}, partitions = 1) {
  const noted = notingSink();
  const jobs = await JobBench.start({
    plugins: [noted.sink.definition("fake")],
    tenants: [tenant("a", [sinkUse("fake", sinkChange)], { partitions })],
  });
  benches.push(jobs);
  return { ...noted, jobs, bench: jobs.bench, log: jobs.log };
}

const REFUSED: SinkOutcome = { type: "error", reason: 'violates check constraint "amount"', code: "23514" };

async function expectBalanced({ log }: JobBench, id: LaneId = LANE): Promise<void> {
  const sources = { reader: log, lanes: log };
  for (const { imbalance } of await ledgerOf(sources)) expect(imbalance).toBe(0);
  expect((await auditLane(sources, id))?.faults).toEqual([]);
}

describe("a replay", () => {
  it("delivers a range of positions once more, with its id, and leaves the live lane as it is", async () => {
    const { jobs, bench, deliveries } = await start();
    await appendEvents(bench.log, "a", { count: 1_000 });
    const before = await bench.until(LANE, 1_000, 5_000);
    deliveries.length = 0;
    const job = await jobs.run({ kind: "replay", selection: { positions: [{ partition: 0, from: 100, to: 700 }] } });
    expect(job).toMatchObject({ state: "done", events: 600, outcome: { delivered: 600, failed: 0 } });
    expect(deliveries).toEqual(Array.from({ length: 600 }, (_, i) => ({ id: `e${100 + i}`, replayId: job.id })));
    expect(await bench.log.loadLane(LANE)).toEqual(before);
    await expectBalanced(jobs);
  });

  it("plans without delivering, and says how many events it found", async () => {
    const { jobs, bench, deliveries } = await start({}, 3);
    for (const partition of [0, 1, 2])
      await appendEvents(bench.log, "a", { count: 50, prefix: `p${partition}-`, partition });
    for (const partition of [0, 1, 2]) await bench.until(lane("a", "fake", partition), 50, 5_000);
    deliveries.length = 0;
    const job = await jobs.create({ kind: "replay", selection: {} });
    expect(job).toMatchObject({ state: "planned", events: 150, isEstimate: false });
    await jobs.step();
    await bench.clock.advance(10_000);
    expect(deliveries).toEqual([]);
  });

  it("takes a time range by time of acceptance", async () => {
    const { jobs, bench, deliveries } = await start();
    const times: number[] = [];
    for (let i = 0; i < 5; i++) {
      times.push(bench.clock.now());
      await appendEvents(bench.log, "a", { count: 10, prefix: `t${i}-` });
      await bench.clock.advance(60_000);
    }
    await bench.until(LANE, 50, 5_000);
    deliveries.length = 0;
    const selection = { receivedFrom: times[1], receivedTo: times[3] };
    const job = await jobs.run({ kind: "replay", selection });
    expect(job).toMatchObject({ events: 20, outcome: { delivered: 20 } });
    expect(new Set(deliveries.map(({ id }) => id.slice(0, 3)))).toEqual(new Set(["t1-", "t2-"]));
  });

  it("passes over what its types and its filter do not select", async () => {
    const { jobs, bench, deliveries, log } = await start();
    await log.append(Array.from({ length: 300 }, (_, i) => entry("a", `e${i}`, { payload: `{"n":${i}}` })));
    await bench.until(LANE, 300, 5_000);
    deliveries.length = 0;
    const selection = { eventTypes: ["order_paid"], filter: "event.payload.n % 10 == 3" };
    const job = await jobs.run({ kind: "replay", selection });
    expect(job).toMatchObject({ isEstimate: true, outcome: { delivered: 30, notSelected: 270 } });
    expect(deliveries.map(({ id }) => id)).toEqual(Array.from({ length: 30 }, (_, i) => `e${i * 10 + 3}`));
    const none = await jobs.run({ kind: "replay", selection: { eventTypes: ["other"] } });
    expect(none).toMatchObject({ state: "done", outcome: { delivered: 0, notSelected: 300 } });
  });

  it("goes no faster than its rate, its lanes together, and changes it while it runs", async () => {
    const { jobs, bench, deliveries } = await start({}, 2);
    for (const partition of [0, 1])
      await appendEvents(bench.log, "a", { count: 1_000, prefix: `p${partition}-`, partition });
    for (const partition of [0, 1]) await bench.until(lane("a", "fake", partition), 1_000, 5_000);
    deliveries.length = 0;
    const { id } = await jobs.create({ kind: "replay", selection: {}, rate: { eventsPerSecond: 100 } });
    await bench.finish(jobs.control.start(id));
    await jobs.step();
    await bench.clock.advance(4_000);
    expect(deliveries.length).toBeGreaterThan(350);
    expect(deliveries.length).toBeLessThan(450);
    const { job } = await bench.finish(jobs.control.get(id));
    const progress = await bench.finish(jobs.control.progress(job));
    expect(progress.eventsPerSecond).toBeGreaterThan(85);
    expect(progress.etaMs).toBeGreaterThan(13_000);
    await bench.finish(jobs.control.setRate(id, { eventsPerSecond: 1_000 }));
    await jobs.step();
    const before = deliveries.length;
    await bench.clock.advance(1_000);
    expect(deliveries.length - before).toBeGreaterThan(800);
    expect((await jobs.until(id, ({ state }) => state === "done")).outcome?.delivered).toBe(2_000);
  });

  it("rests for the share of the time that is not its", async () => {
    const took = async (idleShare: number) => {
      const { jobs, bench, sink } = await start({ batch: { eventsMax: 10, bytesMax: 1 << 20, lingerMs: 0 } });
      sink.behave = async (events) => {
        await bench.clock.sleep(10);
        return events.map(() => OK);
      };
      await appendEvents(bench.log, "a", { count: 500 });
      await bench.until(LANE, 500, 60_000);
      // Past the time in which more live events are to be expected.
      await bench.clock.advance(2_000);
      const { startedAt = 0, endedAt = 0 } = await jobs.run({ kind: "replay", selection: {}, rate: { idleShare } });
      return endedAt - startedAt;
    };
    const [whole, quarter] = [await took(1), await took(0.25)];
    expect(quarter / whole).toBeGreaterThan(3);
    expect(quarter / whole).toBeLessThan(5);
  });

  it("pauses and goes on from where it was, also after the process died", async () => {
    const { jobs, bench, deliveries } = await start();
    await appendEvents(bench.log, "a", { count: 1_000 });
    await bench.until(LANE, 1_000, 5_000);
    deliveries.length = 0;
    const { id } = await jobs.create({ kind: "replay", selection: {}, rate: { eventsPerSecond: 200 } });
    await bench.finish(jobs.control.start(id));
    await jobs.step();
    await bench.clock.advance(1_000);
    await bench.finish(jobs.control.pause(id));
    await jobs.step();
    const paused = deliveries.length;
    await jobs.restart();
    await jobs.step();
    await bench.clock.advance(10_000);
    expect(deliveries.length).toBe(paused);
    await bench.finish(jobs.control.resume(id));
    await jobs.step();
    await bench.clock.advance(1_000);
    expect(deliveries.length).toBeGreaterThan(paused);
    await jobs.restart();
    const job = await jobs.until(id, ({ state }) => state === "done");
    expect(job.outcome).toMatchObject({ delivered: 1_000 });
    expect(new Set(deliveries.map((one) => one.id)).size).toBe(1_000);
  });

  it("changes nothing at a keyed sink the second time, and has its own dead letters, which can be redriven", async () => {
    const { jobs, bench, faults, log, sink } = await start();
    await appendEvents(log, "a", { count: 100 });
    await bench.until(LANE, 100, 5_000);
    const before = new Set(sink.taken.keys());
    faults.refused = ({ event_id }) => (event_id === "e7" ? REFUSED : undefined);
    const job = await jobs.run({ kind: "replay", selection: {} });
    expect(job.outcome).toMatchObject({ delivered: 99, failed: 1 });
    expect(new Set(sink.taken.keys())).toEqual(before);
    expect(await log.deadLetters({ sink: "fake", limit: 10 })).toMatchObject([
      { eventId: "e7", lane: { job: job.id } },
    ]);
    faults.refused = () => undefined;
    const redrive = await jobs.run({ kind: "redrive", selection: {} });
    expect(redrive.outcome).toMatchObject({ delivered: 1 });
    expect(await log.deadLetters({ limit: 10 })).toEqual([]);
    await expectBalanced(jobs, { ...LANE, job: job.id });
  });

  it("is cancelled in any state that has not ended, and then can't be changed", async () => {
    const { jobs, bench } = await start();
    await appendEvents(bench.log, "a", { count: 100 });
    await bench.until(LANE, 100, 5_000);
    const { id } = await jobs.create({ kind: "replay", selection: {}, rate: { eventsPerSecond: 1 } });
    await bench.finish(jobs.control.start(id));
    await jobs.step();
    await bench.finish(jobs.control.cancel(id));
    await jobs.step();
    await bench.clock.advance(5_000);
    expect((await jobs.control.get(id)).job).toMatchObject({ state: "cancelled" });
    for (const change of ["start", "pause", "resume", "cancel"] as const)
      await expect(jobs.control[change](id)).rejects.toMatchObject({ code: "conflict" });
    expect(await jobs.control.unended()).toEqual([]);
  });

  it("fails, and says so, when its sink is taken out of the configuration", async () => {
    const { jobs, bench, sink } = await start();
    await appendEvents(bench.log, "a", { count: 100 });
    await bench.until(LANE, 100, 5_000);
    const { id } = await jobs.create({ kind: "replay", selection: {}, rate: { eventsPerSecond: 1 } });
    await bench.finish(jobs.control.start(id));
    await jobs.step();
    await jobs.apply([tenant("a", [])], 2);
    const job = await jobs.until(id, ({ endedAt }) => endedAt !== undefined);
    expect(job).toMatchObject({ state: "failed", reason: "sink fake is not configured any more" });
    expect(sink.closed).toBe(sink.instances);
  });

  it("refuses what can't be, naming all that is wrong", async () => {
    const { jobs } = await start();
    const spec = {
      kind: "backfill" as const,
      sinks: ["nope", "fake"],
      rate: { idleShare: 2 },
      canary: { events: 0, share: 1 },
      selection: { receivedFrom: 2, receivedTo: 2, filter: "event.nothing ==" },
    };
    const error = await jobs.create(spec).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "malformed_request" });
    const pointers = (error as { violations: { pointer: string }[] }).violations.map(({ pointer }) => pointer);
    expect(pointers).toEqual([
      ...["/sinks/0", "/sinks", "/selection/received_to", "/kind", "/canary", "/rate", "/selection/filter"],
    ]);
  });
});

describe("a backfill", () => {
  it("gives a new sink what lies before its lane's start, and no more", async () => {
    const [first, late] = [notingSink(), notingSink()];
    const plugins = [first.sink.definition("fake"), late.sink.definition("late")];
    const both = await JobBench.start({ plugins, tenants: [] });
    benches.push(both);
    await appendEvents(both.log, "a", { count: 200 });
    await both.apply([tenant("a", [sinkUse("fake")])], 2);
    await both.bench.until(LANE, 200, 5_000);
    await both.apply([tenant("a", [sinkUse("fake"), sinkUse("late")])], 3);
    await appendEvents(both.log, "a", { count: 50, prefix: "new" });
    await both.bench.until(lane("a", "late"), 250, 5_000);
    expect(late.deliveries).toHaveLength(50);
    const job = await both.run({ kind: "backfill", sinks: ["late"], selection: {} });
    expect(job).toMatchObject({ state: "done", events: 200, outcome: { delivered: 200 } });
    expect(late.deliveries).toHaveLength(250);
    expect(new Set(late.deliveries.map(({ id }) => id)).size).toBe(250);
  });
});

describe("a redrive", () => {
  /** One event in ten refused. */
  async function withLetters(count = 200) {
    const all = await start();
    all.faults.refused = ({ event_id }) => (event_id.endsWith("0") ? REFUSED : undefined);
    await appendEvents(all.log, "a", { count });
    await all.bench.until(LANE, count, 5_000);
    all.deliveries.length = 0;
    return all;
  }

  it("takes what is delivered out of the dead letters and moves the ledger from dead to delivered", async () => {
    const { jobs, log, deliveries, faults } = await withLetters();
    expect(await log.loadLane(LANE)).toMatchObject({ delivered: 180, dead: 20 });
    faults.refused = () => undefined;
    const [group] = await log.deadLetterGroups({});
    const job = await jobs.run({
      kind: "redrive",
      selection: { deadLetters: { fingerprint: group!.fingerprint } },
    });
    expect(job).toMatchObject({ state: "done", events: 20, outcome: { delivered: 20, failed: 0 } });
    expect(deliveries).toHaveLength(20);
    expect(deliveries.every(({ replayId }) => replayId === job.id)).toBe(true);
    expect(await log.loadLane(LANE)).toMatchObject({ delivered: 200, dead: 0 });
    expect(await log.deadLetterGroups({})).toEqual([]);
    await expectBalanced(jobs);
  });

  it("keeps what fails again, with all of its history", async () => {
    const { jobs, log, faults } = await withLetters();
    faults.refused = ({ event_id }) => (event_id === "e50" ? { ...REFUSED, code: "23502" } : undefined);
    const job = await jobs.run({ kind: "redrive", selection: {} });
    expect(job.outcome).toMatchObject({ delivered: 19, failed: 1 });
    const [letter] = await log.deadLetters({ limit: 10 });
    expect(letter).toMatchObject({ eventId: "e50", code: "23502", lane: LANE });
    expect(letter?.attempts.map((attempt) => [attempt.reason.slice(0, 5), attempt.job])).toEqual([
      ["23514", undefined],
      ["23502", job.id],
    ]);
    expect(await log.loadLane(LANE)).toMatchObject({ delivered: 199, dead: 1 });
    await expectBalanced(jobs);
  });

  it("takes named letters alone", async () => {
    const { jobs, log, deliveries, faults } = await withLetters();
    faults.refused = () => undefined;
    const letters = [
      { lane: LANE, sequence: 30 },
      { lane: LANE, sequence: 100 },
      { lane: LANE, sequence: 31 },
    ];
    const job = await jobs.run({ kind: "redrive", selection: { letters } });
    expect(job).toMatchObject({ events: 2, outcome: { delivered: 2 } });
    expect(deliveries.map(({ id }) => id)).toEqual(["e30", "e100"]);
    expect(await log.loadLane(LANE)).toMatchObject({ dead: 18 });
  });

  it("stops after a canary that fails, and says how it fared", async () => {
    const { jobs, log, deliveries, faults } = await withLetters();
    faults.refused = ({ event_id }) => (Number(event_id.slice(1)) < 30 ? REFUSED : undefined);
    const job = await jobs.run({ kind: "redrive", selection: {}, canary: { events: 10, share: 0.9 } });
    expect(job).toMatchObject({
      state: "failed",
      reason: "the canary failed: 7 of 10 letters succeeded, at least 90 % were asked for",
      canary: { state: "failed", tried: 10, succeeded: 7 },
    });
    expect(deliveries).toHaveLength(7);
    expect(await log.loadLane(LANE)).toMatchObject({ dead: 13 });
    await expectBalanced(jobs);
  });

  it("goes on with the rest after a canary that passes, also when the process dies in between", async () => {
    const { jobs, bench, log, faults } = await withLetters(1_000);
    faults.refused = ({ event_id }) => (event_id === "e20" ? REFUSED : undefined);
    const { id } = await jobs.create({ kind: "redrive", selection: {}, canary: { events: 10, share: 0.9 } });
    await bench.finish(jobs.control.start(id));
    await jobs.step();
    await bench.clock.advance(100);
    expect(await log.loadLane(LANE)).toMatchObject({ dead: 100 - 9 });
    await jobs.restart();
    const job = await jobs.until(id, ({ state }) => state === "done");
    expect(job).toMatchObject({ canary: { state: "passed", tried: 10, succeeded: 9 }, outcome: { delivered: 99 } });
    expect(await log.loadLane(LANE)).toMatchObject({ delivered: 999, dead: 1 });
  });

  it("spreads its canary over partitions, no more in all than it was given", async () => {
    const { jobs, bench, log, faults, deliveries } = await start({}, 3);
    faults.refused = () => REFUSED;
    for (const partition of [0, 1, 2]) {
      await appendEvents(log, "a", { count: 4, prefix: `p${partition}-`, partition });
      await bench.until(lane("a", "fake", partition), 4, 5_000);
    }
    faults.refused = ({ event_id }) => (event_id.startsWith("p2") ? REFUSED : undefined);
    const job = await jobs.run({ kind: "redrive", selection: {}, canary: { events: 10, share: 0.9 } });
    expect(job).toMatchObject({ state: "failed", canary: { tried: 10, succeeded: 8 } });
    expect(deliveries).toHaveLength(8);
  });

  it("of events that never can be delivered ends when live events show that the sink works", async () => {
    const { jobs, bench, log, faults } = await withLetters(50);
    const never: SinkOutcome = { type: "retry", reason: "not today" };
    faults.refused = ({ event_id }) => (event_id.endsWith("0") && event_id.length < 4 ? never : undefined);
    const { id } = await jobs.create({ kind: "redrive", selection: {} });
    await bench.finish(jobs.control.start(id));
    for (let i = 0; i < 300 && (await jobs.control.get(id)).job.state === "running"; i++) {
      await appendEvents(log, "a", { count: 1, prefix: `live${i}-` });
      await jobs.step();
      await bench.clock.advance(200);
    }
    expect((await jobs.control.get(id)).job).toMatchObject({ state: "done", outcome: { failed: 5 } });
    expect(await log.loadLane(LANE)).toMatchObject({ dead: 5 });
  });
});

describe("live lanes", () => {
  it("are not held up by a job whose every delivery hangs", async () => {
    const { jobs, bench, log, sink } = await start();
    await appendEvents(log, "a", { count: 500 });
    await bench.until(LANE, 500, 5_000);
    sink.behave = async (events, { replayId, signal }) => {
      if (replayId === undefined) return events.map(() => OK);
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      throw new Error("gone");
    };
    const { id } = await jobs.create({ kind: "replay", selection: {} });
    await bench.finish(jobs.control.start(id));
    await jobs.step();
    await bench.clock.advance(60_000);
    await appendEvents(log, "a", { count: 50, prefix: "live" });
    expect(await bench.until(LANE, 550, 500)).toMatchObject({ delivered: 550 });
    await bench.finish(jobs.control.cancel(id));
    await jobs.step();
  });
});
