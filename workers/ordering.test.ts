import { describe, expect, it, test } from "vitest";
import { newSlot } from "../core/ingestion/lane-slot.ts";
import type { Ordering } from "../core/ingestion/revision.ts";
import { BatchRejected, type CanonicalEvent, type SinkOutcome } from "../plugins/contract.ts";
import { type Behaviour, FakeSink } from "../tests/helpers/fake-sink.ts";
import { JobBench } from "../tests/helpers/job-bench.ts";
import { entry, lane, sinkUse, tenant, WorkerBench } from "../tests/helpers/worker-bench.ts";
import { judge } from "./retry.ts";

const LANE = lane("a", "fake");
const OK: SinkOutcome = { type: "ok" };
const NOT_NOW: SinkOutcome = { type: "retry", reason: "not now" };
const UNTRIED: SinkOutcome = { type: "retry", reason: "not now", untried: true };
const BY_KEY: Ordering = { key: "/k" };

interface Given {
  readonly ordering?: Ordering;
  readonly single?: boolean;
  readonly keepsOrder?: boolean;
  readonly windowEvents?: number;
  readonly partitions?: number;
}

async function benchWith(sink: FakeSink, given: Given = {}): Promise<WorkerBench> {
  const { ordering = BY_KEY, single = false, keepsOrder = false, windowEvents = 1_000, partitions = 1 } = given;
  const retry = { attempts: 3, backoffMinMs: 100, backoffMaxMs: 2_000, timeoutMs: 10_000 };
  const use = sinkUse("fake", { ordering, windowEvents, retry });
  const plugins = [sink.definition("fake", { single, keepsOrder })];
  return WorkerBench.start({ plugins, tenants: [tenant("a", [use], { partitions })] });
}

/** Events by their names, in order: the letter is the key, `-` for none. */
async function append(bench: WorkerBench, names: readonly string[]): Promise<void> {
  const payloadOf = (name: string) => (name.startsWith("-") ? "{}" : JSON.stringify({ k: name[0] }));
  await bench.log.append(names.map((name) => entry("a", name, { payload: payloadOf(name) })));
}

const numbered = (keys: string, count: number) =>
  Array.from({ length: count }, (_, n) => keys.split("").map((key) => `${key}${n}`)).flat();

/** One answer for each event, by its name. */
const each =
  (outcomeOf: (name: string) => SinkOutcome): Behaviour =>
  (events) =>
    events.map(({ event_id }) => outcomeOf(event_id));

/** Takes events one after another and nothing behind one that it did not take, as `keepsOrder` says. */
const inOrder =
  (outcomeOf: (name: string) => SinkOutcome): Behaviour =>
  (events) => {
    let isOver = false;
    return events.map(({ event_id }): SinkOutcome => {
      if (isOver) return UNTRIED;
      const outcome = outcomeOf(event_id);
      isOver = outcome.type === "retry";
      return outcome;
    });
  };

const takenOf = (sink: FakeSink, key: string) => [...sink.taken.keys()].filter((name) => name.startsWith(key));

describe.each([
  ["one by one", { single: true }, each],
  ["in batches", {}, each],
  ["in batches that keep their order", { keepsOrder: true }, inOrder],
] as const)("events of one key, %s", (_, given, behave) => {
  it("wait for the one of theirs that fails, while others pass it", async () => {
    const sink = new FakeSink();
    let isHealed = false;
    sink.behave = behave((name) => (name === "a1" && !isHealed ? NOT_NOW : OK));
    const bench = await benchWith(sink, given);
    await append(bench, numbered("ab-", 6));
    await bench.clock.advance(50);
    expect(takenOf(sink, "a")).toEqual(["a0"]);
    expect(await bench.worker.status()).toMatchObject([{ retrying: 1, parked: 4 }]);
    expect(takenOf(sink, "b")).toEqual(["b0", "b1", "b2", "b3", "b4", "b5"]);
    expect(takenOf(sink, "-")).toHaveLength(6);
    isHealed = true;
    expect(await bench.until(LANE, 18, 10_000)).toMatchObject({ delivered: 18, dead: 0 });
    expect(takenOf(sink, "a")).toEqual(["a0", "a1", "a2", "a3", "a4", "a5"]);
    expect([...sink.taken.values()].every((times) => times === 1)).toBe(true);
    await bench.stop();
  });

  it("go on when the one that fails is a dead letter", async () => {
    const sink = new FakeSink();
    sink.behave = behave((name) => (name === "a1" ? NOT_NOW : OK));
    const bench = await benchWith(sink, given);
    await append(bench, numbered("ab", 4));
    for (let n = 4; n < 40; n++) {
      await append(bench, [`b${n}`]);
      await bench.clock.advance(200);
    }
    expect(await bench.until(LANE, 44, 1_000)).toMatchObject({ delivered: 43, dead: 1 });
    expect(takenOf(sink, "a")).toEqual(["a0", "a2", "a3"]);
    await bench.stop();
  });

  it("are delivered all, in order, through an outage", async () => {
    const sink = new FakeSink();
    sink.behave = (events) => events.map(() => ({ ...NOT_NOW, unavailable: true }));
    const bench = await benchWith(sink, given);
    await append(bench, numbered("abc", 30));
    await bench.clock.advance(60_000);
    expect(await bench.log.loadLane(LANE)).toMatchObject({ cursor: 0, dead: 0 });
    sink.behave = behave(() => OK);
    expect(await bench.until(LANE, 90, 10_000)).toMatchObject({ delivered: 90, dead: 0 });
    for (const key of "abc") expect(takenOf(sink, key)).toEqual(numbered(key, 30));
    await bench.stop();
  });
});

describe("a batch that keeps its order", () => {
  it("holds many events of one key", async () => {
    const sink = new FakeSink();
    const bench = await benchWith(sink, { keepsOrder: true });
    await append(bench, numbered("a", 100));
    await bench.until(LANE, 100, 1_000);
    expect(sink.calls.length).toBeLessThan(5);
    expect(sink.calls.flat()).toEqual(numbered("a", 100));
    await bench.stop();
  });

  it("is split in order: what comes behind a part that is to come again is not tried", async () => {
    const sink = new FakeSink();
    let fails = 1;
    sink.behave = (events) => {
      if (events.length > 1 && events.some(({ event_id }) => event_id === "a2")) throw new BatchRejected("x", "bad");
      return events.map(({ event_id }) => {
        if (event_id === "a1" && fails-- > 0) return NOT_NOW;
        return event_id === "a2" ? { type: "error", reason: "bad" } : OK;
      });
    };
    const bench = await benchWith(sink, { keepsOrder: true });
    await append(bench, numbered("a", 8));
    expect(await bench.until(LANE, 8, 10_000)).toMatchObject({ delivered: 7, dead: 1 });
    expect(takenOf(sink, "a")).toEqual(numbered("a", 8).filter((name) => name !== "a2"));
    await bench.stop();
  });

  it("counts for nothing behind an event that comes again, not even where the sink took more than it said", async () => {
    const sink = new FakeSink();
    let fails = 2;
    sink.behave = each((name) => (name === "a1" && fails-- > 0 ? NOT_NOW : OK));
    const bench = await benchWith(sink, { keepsOrder: true });
    await append(bench, numbered("a", 4));
    expect(await bench.until(LANE, 4, 10_000)).toMatchObject({ delivered: 4 });
    const last = sink.calls.flat().filter((name) => name !== "a0");
    expect(last.slice(last.lastIndexOf("a1"))).toEqual(["a1", "a2", "a3"]);
    await bench.stop();
  });
});

describe("a lane full of events that wait for failing ones of their keys", () => {
  const poison = each((name) => (name.startsWith("a") ? NOT_NOW : OK));

  it("goes on: each of them becomes a dead letter in its turn, and others come through", async () => {
    const sink = new FakeSink();
    sink.behave = poison;
    const bench = await benchWith(sink, { windowEvents: 20 });
    await append(bench, ["b0", "b1", ...numbered("a", 60), "b2"]);
    for (let n = 3; n < 300; n++) {
      await append(bench, [`b${n}`]);
      await bench.clock.advance(1_000);
    }
    expect(await bench.until(LANE, 360, 600_000)).toMatchObject({ delivered: 300, dead: 60 });
    expect(takenOf(sink, "b")).toEqual(numbered("b", 300));
    await bench.stop();
  });

  it("goes on where several keys fail, each so slowly that the others are always ready to fail again", async () => {
    const sink = new FakeSink();
    const bench = await benchWith(sink, { single: true, windowEvents: 20 });
    sink.behave = async (events, ctx) => {
      if (!/^[ac]/.test(events[0]?.event_id ?? "")) return events.map(() => OK);
      await bench.clock.sleep(3_000, ctx.signal);
      return events.map(() => NOT_NOW);
    };
    await append(bench, ["b0", "b1", ...numbered("ac", 30), "b2"]);
    for (let n = 3; n < 100; n++) {
      await append(bench, [`b${n}`]);
      await bench.clock.advance(2_000);
    }
    expect(await bench.until(LANE, 160, 3_600_000)).toMatchObject({ delivered: 100, dead: 60 });
    await bench.stop();
  });

  it.each(["ab", "a"])("does not take an outage for their fault, with keys %s", async (keys) => {
    const sink = new FakeSink();
    sink.behave = each(() => NOT_NOW);
    const bench = await benchWith(sink, { windowEvents: 20 });
    await append(bench, numbered(keys, 200 / keys.length));
    await bench.clock.advance(600_000);
    expect(await bench.log.loadLane(LANE)).toMatchObject({ cursor: 0, dead: 0 });
    sink.behave = each(() => OK);
    expect(await bench.until(LANE, 200, 20_000)).toMatchObject({ delivered: 200, dead: 0 });
    await bench.stop();
  });

  it("finds another key's event behind many of theirs when the sink is back from an outage", async () => {
    const sink = new FakeSink();
    sink.behave = each(() => NOT_NOW);
    const bench = await benchWith(sink);
    await append(bench, numbered("a", 300));
    await bench.clock.advance(60_000);
    await append(bench, ["b0"]);
    sink.behave = poison;
    await bench.clock.advance(30_000);
    expect(takenOf(sink, "b")).toEqual(["b0"]);
    await bench.stop();
  });
});

test("what transforms counted against an event does not make it known to fail at its sink", () => {
  const slot = newSlot({ sequence: 0, receivedAt: 0, bytes: Buffer.alloc(0) }, 0, {});
  slot.attempts = 1;
  const verdict = {
    type: "retry",
    reason: "no",
    code: "500",
    unavailable: false,
    retryAfterMs: 0,
    response: undefined,
  } as const;
  const round = { sent: 1, alive: false, aliveBefore: 0, aliveAfter: 0, crowded: true };
  const policy = { attempts: 2, backoffMinMs: 1, backoffMaxMs: 1, timeoutMs: 1 };
  const once = { slot, verdict, round, policy, random: () => 0 };
  expect([judge(once), judge(once)]).toMatchObject([{ type: "later" }, { type: "later" }]);
  // Beside another that passed it is.
  expect(judge({ ...once, round: { ...round, alive: true } })).toMatchObject({ type: "dead" });
});

describe("a replay", () => {
  it("keeps each key in order, and a failing one holds up itself alone", async () => {
    const sink = new FakeSink();
    const retry = { attempts: 1_000, backoffMinMs: 100, backoffMaxMs: 1_000, timeoutMs: 10_000 };
    const tenants = [tenant("a", [sinkUse("fake", { ordering: BY_KEY, retry })])];
    const jobs = await JobBench.start({ plugins: [sink.definition("fake")], tenants });
    await append(jobs.bench, numbered("ab", 20));
    await jobs.bench.until(LANE, 40, 5_000);
    sink.taken.clear();
    let failsLeft = 5;
    sink.behave = each((name) => (name === "a3" && failsLeft-- > 0 ? NOT_NOW : OK));
    const job = await jobs.run({ kind: "replay", selection: { positions: [{ partition: 0, from: 0, to: 40 }] } });
    expect(job).toMatchObject({ state: "done", outcome: { delivered: 40, failed: 0 } });
    for (const key of "ab") expect(takenOf(sink, key)).toEqual(numbered(key, 20));
    const order = [...sink.taken.keys()];
    expect(order.indexOf("b19")).toBeLessThan(order.indexOf("a3"));
    await jobs.bench.stop();
  });
});

describe("ordering by stream", () => {
  it("sends one event after another, and nothing passes one that fails", async () => {
    const sink = new FakeSink();
    let isHealed = false;
    sink.behave = each((name) => (name === "b1" && !isHealed ? NOT_NOW : OK));
    const bench = await benchWith(sink, { ordering: "stream" });
    const names = numbered("ab-", 5);
    await append(bench, names);
    await bench.clock.advance(60_000);
    expect([...sink.taken.keys()]).toEqual(["a0", "b0", "-0", "a1"]);
    isHealed = true;
    expect(await bench.until(LANE, 15, 10_000)).toMatchObject({ delivered: 15, dead: 0 });
    expect([...sink.taken.keys()]).toEqual(names);
    await bench.stop();
  });

  it("waits for one that is known to fail while nothing else shows the sink to work, however full its lane is", async () => {
    const sink = new FakeSink();
    sink.behave = each((name) => (name === "a1" ? NOT_NOW : OK));
    const bench = await benchWith(sink, { ordering: "stream", partitions: 2, windowEvents: 20 });
    const failsUntil = async (calls: number) => {
      const before = sink.calls.length;
      while (sink.calls.length < before + calls) await bench.clock.advance(1_000);
    };
    await append(bench, numbered("a", 60));
    await failsUntil(2);
    // One sign of life: what fails again after it has failed by itself.
    await bench.log.append([entry("a", "other", { partition: 1 })]);
    await failsUntil(20);
    expect(await bench.log.loadLane(LANE)).toMatchObject({ delivered: 1, dead: 0 });
    expect([...sink.taken.keys()].filter((name) => name !== "other")).toEqual(["a0"]);
    await bench.stop();
  });

  it("has an event that fails for good pass into the dead letters by what other partitions show of the sink", async () => {
    const sink = new FakeSink();
    sink.behave = (events: readonly CanonicalEvent[]) =>
      events.map(({ event_id }) => (event_id === "a1" ? NOT_NOW : OK));
    const bench = await benchWith(sink, { ordering: "stream", partitions: 2 });
    await append(bench, numbered("a", 5));
    for (let n = 0; n < 40; n++) {
      await bench.log.append([entry("a", `other${n}`, { partition: 1 })]);
      await bench.clock.advance(200);
    }
    expect(await bench.until(LANE, 5, 1_000)).toMatchObject({ delivered: 4, dead: 1 });
    expect(takenOf(sink, "a")).toEqual(["a0", "a2", "a3", "a4"]);
    await bench.stop();
  });
});
