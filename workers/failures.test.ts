import { describe, expect, it } from "vitest";
import { BatchRejected, type SinkOutcome } from "../plugins/contract.ts";
import { type Behaviour, FakeSink } from "../tests/helpers/fake-sink.ts";
import { appendEvents, lane, sinkUse, tenant, WorkerBench } from "../tests/helpers/worker-bench.ts";
import { start, startOne } from "../tests/helpers/worker-start.ts";

const LANE = lane("a", "fake");
const OK: SinkOutcome = { type: "ok" };
const OUT: SinkOutcome = { type: "retry", reason: "connection refused", code: "ECONNREFUSED", unavailable: true };
const works: Behaviour = (events) => events.map(() => OK);
const isOut: Behaviour = (events) => events.map(() => OUT);

/** New events every 200 ms, so that a poisoned one has neighbours. */
async function trickle(bench: WorkerBench, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await appendEvents(bench.log, "a", { count: 1, prefix: `trickle${i}-` });
    await bench.clock.advance(200);
  }
}

describe("an outage", () => {
  it("burns no attempt, leaves the dead letters empty, and all is delivered within 5 s after it", async () => {
    for (const outage of [
      isOut,
      () => Promise.reject(new Error("boom")),
      (events) => events.map(() => ({ type: "retry", reason: "no" })),
    ] as Behaviour[]) {
      const sink = new FakeSink();
      sink.behave = outage;
      const bench = await startOne(sink, {
        retry: { attempts: 2, backoffMinMs: 100, backoffMaxMs: 60_000, timeoutMs: 10_000 },
      });
      await appendEvents(bench.log, "a", { count: 500 });
      await bench.clock.advance(600_000);
      expect(await bench.log.loadLane(LANE)).toMatchObject({ cursor: 0, dead: 0 });
      sink.behave = works;
      expect(await bench.until(LANE, 500, 5_000)).toMatchObject({ delivered: 500, dead: 0 });
    }
  });

  it("of a sink that hangs is over within 5 s of its return, too", async () => {
    const sink = new FakeSink();
    const bench = await startOne(sink, {
      retry: { attempts: 5, backoffMinMs: 100, backoffMaxMs: 60_000, timeoutMs: 30_000 },
    });
    for (let round = 1; round <= 10; round++) {
      sink.behave = works;
      await appendEvents(bench.log, "a", { count: 5, prefix: `${round}-before` });
      await bench.until(LANE, 25 * round - 20, 0);
      sink.behave = async (_events, ctx) => {
        await bench.clock.sleep(3_600_000, ctx.signal);
        throw new Error("cancelled");
      };
      await appendEvents(bench.log, "a", { count: 20, prefix: `${round}-during` });
      await bench.clock.advance(150_000 + round * 3_700);
      sink.behave = works;
      await bench.until(LANE, 25 * round, 5_000);
    }
    expect(await bench.log.loadLane(LANE)).toMatchObject({ delivered: 250, dead: 0 });
  });

  it("is asked after rarely and by single events, not by a storm of retries", async () => {
    const sink = new FakeSink();
    sink.behave = isOut;
    const bench = await startOne(sink);
    await appendEvents(bench.log, "a", { count: 1_000 });
    await bench.clock.advance(60_000);
    expect(sink.calls.length).toBeLessThan(60);
    expect(sink.calls.slice(1).every((call) => call.length === 1)).toBe(true);
    expect(new Set(sink.calls.slice(1).flat()).size).toBe(sink.calls.length - 1);
  });

  it("makes a lane hold little: memory goes to those that deliver", async () => {
    const sink = new FakeSink();
    const bench = await startOne(sink);
    sink.behave = async (events, ctx) => {
      await bench.clock.sleep(100);
      return isOut(events, ctx);
    };
    await appendEvents(bench.log, "a", { count: 2_000 });
    await bench.clock.advance(50);
    expect((await bench.worker.status())[0]?.window).toBe(1_000);
    await bench.clock.advance(600_000);
    expect((await bench.worker.status())[0]?.window).toBeLessThanOrEqual(120);
    sink.behave = works;
    expect(await bench.until(LANE, 2_000, 10_000)).toMatchObject({ delivered: 2_000 });
  });

  it("that ends by itself now and then costs no event its attempts", async () => {
    const sink = new FakeSink();
    let up = true;
    sink.behave = (events, ctx) => (up ? works(events, ctx) : isOut(events, ctx));
    const bench = await startOne(sink, {
      retry: { attempts: 3, backoffMinMs: 100, backoffMaxMs: 1_000, timeoutMs: 10_000 },
    });
    for (let i = 0; i < 60; i++) {
      up = i % 3 === 0;
      await appendEvents(bench.log, "a", { count: 20, prefix: `r${i}-` });
      await bench.clock.advance(1_700);
    }
    up = true;
    expect(await bench.until(LANE, 1_200, 10_000)).toMatchObject({ delivered: 1_200, dead: 0 });
  });

  it("holds up its own lanes alone", async () => {
    const [dead, hung, poisoned, fine] = [new FakeSink(), new FakeSink(), new FakeSink(), new FakeSink()];
    const plugins = Object.entries({ dead, hung, poisoned, fine }).map(([name, sink]) => sink.definition(name));
    const tenants = [
      tenant("a", [sinkUse("dead"), sinkUse("hung"), sinkUse("poisoned"), sinkUse("fine")]),
      tenant("b", [sinkUse("fine")]),
    ];
    const bench = await start({ plugins, tenants });
    dead.behave = isOut;
    hung.behave = () => new Promise(() => undefined);
    poisoned.behave = () => Promise.reject(new BatchRejected("22003", "out of range"));
    await appendEvents(bench.log, "a", { count: 300 });
    await appendEvents(bench.log, "b", { count: 300 });
    await bench.until(lane("b", "fine"), 300, 0);
    await bench.until(lane("a", "fine"), 300, 0);
    expect(await bench.until(lane("a", "poisoned"), 300, 10_000)).toMatchObject({ dead: 300 });
    for (let i = 0; i < 20; i++) {
      await appendEvents(bench.log, "b", { count: 1, prefix: `later${i}-` });
      await bench.until(lane("b", "fine"), 301 + i, 0);
      await bench.clock.advance(1_000);
    }
  });

  it("of one partition's lane is known to the tenant's others: one probe at a time for all", async () => {
    const sink = new FakeSink();
    let open = 0;
    let most = 0;
    const bench = await start({
      plugins: [sink.definition("fake")],
      tenants: [tenant("a", [sinkUse("fake")], { partitions: 8 })],
    });
    sink.behave = async (events, ctx) => {
      if (events.length > 1) return isOut(events, ctx);
      most = Math.max(most, ++open);
      await bench.clock.sleep(100);
      open -= 1;
      return events.map(() => OUT);
    };
    for (let partition = 0; partition < 8; partition++) {
      await appendEvents(bench.log, "a", { count: 10, prefix: `p${partition}-`, partition });
    }
    await bench.clock.advance(60_000);
    expect(most).toBe(1);
    const probed = new Set(sink.calls.filter((call) => call.length === 1).map(([id]) => id?.slice(0, 2)));
    expect(probed.size).toBe(8);
    sink.behave = works;
    for (let partition = 0; partition < 8; partition++) await bench.until(lane("a", "fake", partition), 10, 5_000);
  });
});

describe("a poisoned event", () => {
  it("is split out of a refused batch in log2 steps and dead-lettered with its code; its neighbours land", async () => {
    const sink = new FakeSink();
    sink.behave = (events) => {
      if (events.some((event) => event.event_id === "e13")) throw new BatchRejected("22P05", "NUL in jsonb");
      return events.map(() => OK);
    };
    const bench = await startOne(sink);
    await appendEvents(bench.log, "a", { count: 64 });
    expect(await bench.until(LANE, 64, 0)).toMatchObject({ delivered: 63, dead: 1 });
    expect(sink.calls.length).toBeLessThanOrEqual(1 + 2 * Math.log2(64));
    const [stored] = await bench.log.read(LANE.stream, 13, { entries: 1, bytes: 1 });
    expect(await bench.log.deadLetter(LANE, 13)).toMatchObject({
      lane: LANE,
      sequence: 13,
      eventId: "e13",
      eventType: "order_paid",
      stage: "sink fake",
      code: "22P05",
      message: "NUL in jsonb",
      attempts: [{ at: expect.any(Number), reason: "22P05: NUL in jsonb" }],
      configRevision: 1,
      plugins: { fake: "1.2.3" },
      bytes: stored?.bytes,
    });
  });

  it("is not looked for any further when the sink goes out on the way", async () => {
    const sink = new FakeSink();
    sink.behave = (events, ctx) => {
      if (events.length === 64) throw new BatchRejected("22P05", "NUL in jsonb");
      return isOut(events, ctx);
    };
    const bench = await startOne(sink);
    await appendEvents(bench.log, "a", { count: 64 });
    await bench.clock.advance(50);
    expect(sink.calls.map((call) => call.length)).toEqual([64, 32]);
  });

  it("that fails while its neighbours pass is dead-lettered after its attempts, no sooner", async () => {
    const sink = new FakeSink();
    sink.behave = (events) =>
      events.map(({ event_id }) => (event_id === "e5" ? { type: "retry", reason: "busy", code: "503" } : OK));
    const bench = await startOne(sink, {
      retry: { attempts: 4, backoffMinMs: 100, backoffMaxMs: 400, timeoutMs: 1_000 },
    });
    await appendEvents(bench.log, "a", { count: 20 });
    await trickle(bench, 60);
    await bench.until(LANE, 80, 10_000);
    const letter = await bench.log.deadLetter(LANE, 5);
    expect(letter).toMatchObject({ code: "503", message: "busy" });
    const tries = sink.calls.filter((call) => call.includes("e5")).length;
    expect(letter?.attempts.length).toBe(tries);
    expect(tries).toBeGreaterThanOrEqual(4);
    expect(tries).toBeLessThanOrEqual(9);
  });

  it("that spoils every batch by a throw ends alone, and costs its neighbours nothing", async () => {
    const sink = new FakeSink();
    const poison = new Set(["e3", "e77", "e78"]);
    sink.behave = (events) => {
      if (events.some((event) => poison.has(event.event_id)))
        throw new TypeError("cannot read properties of undefined");
      return events.map(() => OK);
    };
    const bench = await startOne(sink);
    await appendEvents(bench.log, "a", { count: 100 });
    await trickle(bench, 100);
    const state = await bench.until(LANE, 200, 120_000);
    expect(state).toMatchObject({ delivered: 197, dead: 3 });
    expect([...sink.taken.values()].every((times) => times === 1)).toBe(true);
  });

  it("that says the whole sink is out, while all others pass, ends in the dead letters, too", async () => {
    const sink = new FakeSink();
    sink.behave = (events) => events.map(({ event_id }) => (event_id === "e1" ? OUT : OK));
    const bench = await startOne(sink, {
      retry: { attempts: 3, backoffMinMs: 100, backoffMaxMs: 400, timeoutMs: 1_000 },
    });
    await appendEvents(bench.log, "a", { count: 3 });
    await trickle(bench, 60);
    expect(await bench.until(LANE, 63, 60_000)).toMatchObject({ delivered: 62, dead: 1 });
  });

  it("does not hold up the others of a sink that takes one event at a time", async () => {
    const sink = new FakeSink();
    sink.behave = async (events, ctx) => {
      if (events[0]?.event_id !== "e2") return [OK];
      await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve));
      return [OK];
    };
    const retry = { attempts: 2, backoffMinMs: 100, backoffMaxMs: 400, timeoutMs: 1_000 };
    const bench = await startOne(sink, { retry }, true);
    await appendEvents(bench.log, "a", { count: 10 });
    await trickle(bench, 30);
    expect(await bench.until(LANE, 40, 60_000)).toMatchObject({ delivered: 39, dead: 1 });
    expect(await bench.log.deadLetter(LANE, 2)).toMatchObject({
      code: "timeout",
      message: "fake@1.2.3 did not answer within its deadline",
    });
  });

  it("that is known as such delays no other event, however often it fails alone", async () => {
    const sink = new FakeSink();
    sink.behave = (events) => events.map(({ event_id }) => (event_id === "e0" ? OUT : OK));
    const retry = { attempts: 12, backoffMinMs: 50, backoffMaxMs: 100, timeoutMs: 1_000 };
    const bench = await startOne(sink, { retry });
    await appendEvents(bench.log, "a", { count: 2 });
    await trickle(bench, 6);
    expect((await bench.worker.status())[0]).toMatchObject({ breaker: "closed" });
    for (let i = 0; i < 30 && (await bench.log.loadLane(LANE))?.dead === 0; i++) {
      await bench.clock.advance(200);
      await appendEvents(bench.log, "a", { count: 1, prefix: `then${i}-` });
      await bench.clock.advance(0);
      expect(sink.taken.get(`then${i}-0`)).toBe(1);
    }
  });

  it("keeps its place: later events go on, the cursor stays before it", async () => {
    const sink = new FakeSink();
    sink.behave = (events) =>
      events.map(({ event_id }) => (event_id === "e0" ? { type: "retry", reason: "later", retryAfterMs: 60_000 } : OK));
    const bench = await startOne(sink);
    await appendEvents(bench.log, "a", { count: 50 });
    await bench.clock.advance(50_000);
    expect(sink.taken.size).toBe(49);
    expect(await bench.log.loadLane(LANE)).toMatchObject({ cursor: 0 });
    expect(sink.calls.filter((call) => call.includes("e0")).length).toBe(1);
    sink.behave = works;
    await bench.until(LANE, 50, 10_100);
  });

  it("is told from an outage, too, when it and its kind block a full window", async () => {
    const sink = new FakeSink();
    const poison = new Set(["e0", "e1", "e7"]);
    sink.behave = (events) => {
      if (events.some(({ event_id }) => poison.has(event_id))) throw new Error("boom");
      return events.map(() => OK);
    };
    const bench = await startOne(sink, { windowEvents: 8, batch: { eventsMax: 4, bytesMax: 1_000_000, lingerMs: 0 } });
    await appendEvents(bench.log, "a", { count: 200 });
    expect(await bench.until(LANE, 200, 120_000)).toMatchObject({ delivered: 197, dead: 3 });
  });

  it("is told from an outage, too, when its like fill the window", async () => {
    const sink = new FakeSink();
    sink.behave = (events) => {
      if (events.some(({ event_id }) => Number(event_id.slice(1)) < 20)) throw new Error("boom");
      return events.map(() => OK);
    };
    const bench = await startOne(sink, { windowEvents: 8, batch: { eventsMax: 4, bytesMax: 1_000_000, lingerMs: 0 } });
    await appendEvents(bench.log, "a", { count: 400 });
    expect(await bench.until(LANE, 400, 600_000)).toMatchObject({ delivered: 380, dead: 20 });
  });

  it("fills the window, and no more than the window, when it is not given up", async () => {
    const sink = new FakeSink();
    sink.behave = (events) =>
      events.map(({ event_id }) =>
        event_id === "e0" ? { type: "retry", reason: "later", retryAfterMs: 600_000 } : OK,
      );
    const bench = await startOne(sink, { windowEvents: 120 });
    await appendEvents(bench.log, "a", { count: 500 });
    await bench.clock.advance(1_000);
    expect(sink.taken.size).toBe(119);
    expect((await bench.worker.status())[0]).toMatchObject({ window: 120, lag: 500 });
  });
});
