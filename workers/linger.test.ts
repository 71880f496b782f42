import { afterEach, describe, expect, it } from "vitest";
import { FakeSink } from "../tests/helpers/fake-sink.ts";
import type { BatchPolicy } from "../core/ingestion/revision.ts";
import { appendEvents, type BenchOptions, lane, sinkUse, tenant, WorkerBench } from "../tests/helpers/worker-bench.ts";

const LINGER_MS = 10;
/** A lane gathers for a commit as long as for four deliveries. */
const COMMIT_MS = 4 * LINGER_MS;
const LANE = lane("a", "fake");
const benches: WorkerBench[] = [];

afterEach(async () => {
  for (const bench of benches.splice(0)) await bench.stop();
});

interface Options {
  readonly batch?: Partial<BatchPolicy>;
  readonly windowEvents?: number;
  readonly override?: BenchOptions["override"];
}

async function start(sink: FakeSink, { batch, windowEvents = 10_000, override }: Options = {}): Promise<WorkerBench> {
  const use = sinkUse("fake", {
    batch: { eventsMax: 20, bytesMax: 1_000_000, lingerMs: LINGER_MS, ...batch },
    windowEvents,
  });
  const bench = await WorkerBench.start({
    plugins: [sink.definition("fake")],
    tenants: [tenant("a", [use])],
    ...(override === undefined ? {} : { override }),
  });
  benches.push(bench);
  return bench;
}

/** Appends `count` events and lets the lane see them; no time passes. */
async function arrive(bench: WorkerBench, prefix: string, count: number): Promise<void> {
  await appendEvents(bench.log, "a", { count, prefix });
  await bench.clock.advance(0);
}

const sizes = (sink: FakeSink) => sink.calls.map((call) => call.length);

describe("a lane that keeps up", () => {
  it("delivers the first event after a pause at once", async () => {
    const sink = new FakeSink();
    const bench = await start(sink);
    for (const prefix of ["x", "y", "z"]) {
      await arrive(bench, prefix, 1);
      expect(sink.taken.get(`${prefix}0`)).toBe(1);
      await bench.clock.advance(LINGER_MS);
    }
  });

  it("gathers what comes within the linger into one delivery", async () => {
    const sink = new FakeSink();
    const bench = await start(sink);
    for (const prefix of ["a", "b", "c", "d"]) {
      await arrive(bench, prefix, 2);
      await bench.clock.advance(2);
    }
    expect(sizes(sink)).toEqual([2]);
    await bench.clock.advance(2);
    expect(sizes(sink)).toEqual([2, 6]);
    expect(await bench.until(LANE, 8, COMMIT_MS)).toMatchObject({ delivered: 8 });
  });

  it("gathers what it found while it looked for the stream's end, too", async () => {
    const sink = new FakeSink();
    let reads = 0;
    const override: BenchOptions["override"] = (log) => ({
      read: async (...args) => {
        reads += 1;
        if (reads === 3) await appendEvents(log, "a", { count: 3, prefix: "b" });
        return log.read(...args);
      },
    });
    const bench = await start(sink, { override });
    sink.behave = async (events) => {
      await bench.clock.sleep(2);
      return events.map(() => ({ type: "ok" }));
    };
    await bench.clock.advance(0);
    reads = 1;
    await arrive(bench, "a", 1);
    expect(reads).toBeGreaterThan(2);
    await arrive(bench, "c", 2);
    await bench.clock.advance(LINGER_MS - 1);
    expect(sizes(sink)).toEqual([1]);
    await bench.clock.advance(1);
    expect(sizes(sink)).toEqual([1, 5]);
  });

  it("reads in one go what comes while a delivery is out", async () => {
    const sink = new FakeSink();
    let reads = 0;
    const override: BenchOptions["override"] = (log) => ({
      read: (...args) => {
        reads += 1;
        return log.read(...args);
      },
    });
    const bench = await start(sink, { override });
    sink.behave = async (events) => {
      await bench.clock.sleep(3 * LINGER_MS);
      return events.map(() => ({ type: "ok" }));
    };
    await arrive(bench, "a", 1);
    const before = reads;
    for (let i = 0; i < 5; i++) {
      await bench.clock.advance(LINGER_MS / 2);
      await arrive(bench, `b${i}`, 1);
    }
    expect(reads).toBe(before);
    await bench.clock.advance(LINGER_MS);
    expect(sizes(sink)).toEqual([1, 5]);
  });

  it("delivers a backlog batch upon batch and then the rest, without a pause", async () => {
    const sink = new FakeSink();
    const bench = await start(sink);
    await arrive(bench, "a", 1);
    await arrive(bench, "b", 205);
    await bench.clock.advance(LINGER_MS);
    // The first went alone; all others follow in one instant.
    expect(sizes(sink)).toEqual([1, ...Array.from({ length: 10 }, () => 20), 5]);
  });

  it("waits for no more events once their bytes fill a batch", async () => {
    const sink = new FakeSink();
    const bench = await start(sink, { batch: { bytesMax: 500 } });
    await arrive(bench, "a", 1);
    await arrive(bench, "b", 9);
    await bench.clock.advance(LINGER_MS);
    expect(sink.taken.size).toBe(10);
  });

  /** How many events each commit moved past. */
  function counting(commits: number[]): BenchOptions["override"] {
    return (log) => ({
      commit: (lanes) => {
        for (const { settlement } of lanes) commits.push(settlement.to - settlement.from);
        return log.commit(lanes);
      },
    });
  }

  it("commits the first event after a pause at once, and then what several deliveries have settled", async () => {
    const sink = new FakeSink();
    const commits: number[] = [];
    const bench = await start(sink, { override: counting(commits) });
    for (let i = 0; i < 4; i++) {
      await arrive(bench, `a${i}`, 2);
      await bench.clock.advance(LINGER_MS);
    }
    expect(sizes(sink)).toEqual([2, 2, 2, 2]);
    expect(commits).toEqual([2, 6]);
    await bench.clock.advance(COMMIT_MS);
    await arrive(bench, "b", 1);
    expect(commits).toEqual([2, 6, 1]);
  });

  it("gathers for no commit while its window is half full", async () => {
    const sink = new FakeSink();
    const commits: number[] = [];
    const bench = await start(sink, { override: counting(commits), windowEvents: 8, batch: { eventsMax: 4 } });
    await arrive(bench, "a", 1);
    await arrive(bench, "b", 12);
    await bench.clock.advance(LINGER_MS);
    expect(sink.taken.size).toBe(13);
    expect(commits.reduce((sum, events) => sum + events, 0)).toBeGreaterThan(8);
  });

  it("commits what it has gathered before it stops", async () => {
    const sink = new FakeSink();
    const bench = await start(sink);
    await arrive(bench, "a", 1);
    await bench.clock.advance(LINGER_MS);
    await arrive(bench, "b", 1);
    expect(sink.taken.size).toBe(2);
    await bench.stop();
    expect(await bench.log.loadLane(LANE)).toMatchObject({ cursor: 2, delivered: 2 });
  });

  it("holds no timer once all is delivered", async () => {
    const sink = new FakeSink();
    const bench = await start(sink);
    await arrive(bench, "a", 1);
    await arrive(bench, "b", 1);
    await bench.clock.advance(120_000);
    expect(bench.clock.sleeping).toBe(0);
    expect(sizes(sink)).toEqual([1, 1]);
  });

  it("lingers over nothing while events fail", async () => {
    const sink = new FakeSink();
    const bench = await start(sink, { batch: { lingerMs: 10_000 } });
    sink.behave = (events) => events.map(() => ({ type: "retry", reason: "down", unavailable: true }));
    await arrive(bench, "a", 3);
    await bench.clock.advance(1_000);
    sink.behave = (events) => events.map(() => ({ type: "ok" }));
    await bench.clock.advance(2_500);
    expect(sink.taken.size).toBe(3);
  });
});
