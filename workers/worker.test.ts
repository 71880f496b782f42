import { describe, expect, it } from "vitest";
import { encodeEvent } from "../core/canonical/codec.ts";
import { PulseGateError } from "../core/canonical/errors.ts";
import { SLOT_COUNT, slotOf } from "../core/ingestion/log.ts";
import { FakeSink } from "../tests/helpers/fake-sink.ts";
import { turn } from "../tests/helpers/sim-clock.ts";
import { appendEvents, entry, lane, revision, sinkUse, tenant } from "../tests/helpers/worker-bench.ts";
import { start, startOne } from "../tests/helpers/worker-start.ts";

const LANE = lane("a", "fake");

describe("a worker", () => {
  it("delivers what is appended, in order, and commits the cursor", async () => {
    const sink = new FakeSink();
    const bench = await startOne(sink);
    const ids = await appendEvents(bench.log, "a", { count: 250 });
    expect(await bench.until(LANE, 250, 0)).toMatchObject({ cursor: 250, delivered: 250, dead: 0 });
    expect([...sink.taken.keys()]).toEqual(ids);
  });

  it("hands untouched events on with the very bytes that were stored", async () => {
    const sink = new FakeSink();
    const seen: Buffer[] = [];
    sink.behave = (events) => {
      seen.push(...events.map(encodeEvent));
      return events.map(() => ({ type: "ok" }));
    };
    const bench = await startOne(sink);
    await bench.log.append([entry("a", "e0", { payload: '{"big":12345678901234567890,"s":"\\u00e9"}' })]);
    await bench.until(LANE, 1, 0);
    const [stored] = await bench.log.read(LANE.stream, 0, { entries: 1, bytes: 1 });
    expect(seen[0]).toBe(stored?.bytes);
  });

  it("delivers a lone event at once, and lets batches grow while the sink is busy", async () => {
    const sink = new FakeSink();
    const bench = await startOne(sink, { batch: { eventsMax: 50, bytesMax: 1_000_000, lingerMs: 0 } });
    sink.behave = async (events) => {
      await bench.clock.sleep(10);
      return events.map(() => ({ type: "ok" }));
    };
    await appendEvents(bench.log, "a", { count: 1, prefix: "first" });
    await bench.clock.advance(1);
    for (let i = 0; i < 80; i++) await appendEvents(bench.log, "a", { count: 1, prefix: `x${i}-` });
    await bench.until(LANE, 81, 100);
    expect(sink.calls.map((call) => call.length)).toEqual([1, 50, 30]);
  });

  it("keeps the sink busy: the next batch is out before the cursor of the last is committed", async () => {
    const sink = new FakeSink();
    const bench = await start({
      plugins: [sink.definition("fake")],
      tenants: [tenant("a", [sinkUse("fake", { batch: { eventsMax: 10, bytesMax: 1_000_000, lingerMs: 0 } })])],
      override: (log, clock) => ({
        commit: async (commits) => {
          await clock.sleep(1_000);
          return log.commit(commits);
        },
      }),
    });
    await appendEvents(bench.log, "a", { count: 50 });
    await bench.clock.advance(500);
    expect(sink.taken.size).toBe(50);
    await bench.until(LANE, 50, 2_500);
  });

  it("costs nothing while ten thousand lanes are idle", async () => {
    const sink = new FakeSink();
    const tenants = Array.from({ length: 10_000 }, (_, i) => tenant(`t${i}`, [sinkUse("fake")]));
    const bench = await start({ plugins: [sink.definition("fake")], tenants });
    await bench.clock.advance(120_000);
    expect(bench.clock.sleeping).toBe(0);
    await appendEvents(bench.log, "t9999", { count: 1 });
    await bench.until(lane("t9999", "fake"), 1, 0);
    expect(sink.calls).toEqual([["e0"]]);
  });

  it("lets the event loop turn though its sink answers at once", async () => {
    const sink = new FakeSink();
    const bench = await startOne(sink, { batch: { eventsMax: 1, bytesMax: 1_000_000, lingerMs: 0 } });
    await appendEvents(bench.log, "a", { count: 1_000 });
    await turn();
    expect(sink.calls.length).toBeLessThan(600);
    await bench.until(LANE, 1_000, 100);
  });

  it("misses no event while the slots that it listens to change", async () => {
    const sink = new FakeSink();
    const bench = await start({
      plugins: [sink.definition("fake")],
      tenants: [tenant("a", [sinkUse("fake")])],
      override: (log, clock) => ({
        // News that are under way when the listening ends are lost with it.
        arrivals: async function* (slots, signal) {
          for await (const streams of log.arrivals(slots, signal)) {
            await clock.sleep(50, signal);
            if (signal.aborted) return;
            yield streams;
          }
        },
      }),
    });
    await appendEvents(bench.log, "a", { count: 3 });
    await bench.clock.advance(10);
    bench.log.takeOver((slotOf(LANE.stream) + 1) % SLOT_COUNT);
    await bench.until(LANE, 3, 10);
  });

  it("goes on at the cursor after a restart", async () => {
    const sink = new FakeSink();
    const bench = await startOne(sink);
    await appendEvents(bench.log, "a", { count: 30 });
    await bench.until(LANE, 30, 0);
    await bench.stop();
    await appendEvents(bench.log, "a", { count: 5, prefix: "later" });
    sink.calls.length = 0;
    await bench.startWorker();
    await bench.until(LANE, 35, 0);
    expect(sink.calls.flat()).toEqual(["later0", "later1", "later2", "later3", "later4"]);
  });

  it("finishes and commits what is under way when it is told to stop, then closes its plugins", async () => {
    const sink = new FakeSink();
    const bench = await startOne(sink, { batch: { eventsMax: 10, bytesMax: 1_000_000, lingerMs: 0 } });
    sink.behave = async (events) => {
      await bench.clock.sleep(500);
      return events.map(() => ({ type: "ok" }));
    };
    await appendEvents(bench.log, "a", { count: 100 });
    await bench.clock.advance(100);
    await bench.stop(2_000);
    expect(await bench.log.loadLane(LANE)).toMatchObject({ cursor: 10, delivered: 10 });
    expect(sink.calls.length).toBe(1);
    expect(sink.closed).toBe(1);
    expect(bench.clock.sleeping).toBe(0);
  });

  it("cuts off what is under way at the deadline of a stop, and delivers it again later", async () => {
    const sink = new FakeSink();
    const bench = await startOne(sink);
    const aborted: boolean[] = [];
    sink.behave = async (events, ctx) => {
      await bench.clock.sleep(60_000, ctx.signal);
      aborted.push(ctx.signal.aborted);
      return events.map(() => ({ type: "ok" }));
    };
    await appendEvents(bench.log, "a", { count: 3 });
    await bench.clock.advance(10);
    const before = bench.clock.monotonic();
    await bench.stop(1_000);
    expect(bench.clock.monotonic() - before).toBeLessThanOrEqual(1_300);
    expect(aborted).toEqual([true]);
    expect(await bench.log.loadLane(LANE)).toMatchObject({ cursor: 0, delivered: 0 });
    sink.behave = (events) => events.map(() => ({ type: "ok" }));
    await bench.startWorker();
    expect(await bench.until(LANE, 3, 0)).toMatchObject({ delivered: 3 });
  });

  it("starts the first lanes of a stream at its start, and a sink that joins later at the tail", async () => {
    const first = new FakeSink();
    const second = new FakeSink();
    const tenants = [tenant("a", [sinkUse("first")])];
    const plugins = [first.definition("first"), second.definition("second")];
    const bench = await start({ plugins, tenants: [] });
    await appendEvents(bench.log, "a", { count: 3, prefix: "early" });
    await bench.worker.apply(revision(2, tenants));
    expect(await bench.until(lane("a", "first"), 3, 0)).toMatchObject({ start: 0, delivered: 3 });
    await bench.worker.apply(revision(3, [tenant("a", [sinkUse("first"), sinkUse("second")])]));
    await appendEvents(bench.log, "a", { count: 2, prefix: "late" });
    await bench.until(lane("a", "second"), 5, 0);
    expect([...second.taken.keys()]).toEqual(["late0", "late1"]);
    expect(first.instances).toBe(1);
  });

  it("opens the other first sinks of a stream at its start, too, when a failure came between them", async () => {
    const sink = new FakeSink();
    let failures = 1;
    const bench = await start({
      plugins: [sink.definition("fake")],
      tenants: [],
      override: (log) => ({
        openLane: async (id, from) => {
          if (id.sink === "second" && failures-- > 0) throw new PulseGateError("log_unavailable", "not now");
          return log.openLane(id, from);
        },
      }),
    });
    await appendEvents(bench.log, "a", { count: 3 });
    const sinks = [sinkUse("fake", { id: "first" }), sinkUse("fake", { id: "second" })];
    await bench.finish(bench.worker.apply(revision(2, [tenant("a", sinks)])));
    expect(await bench.until(lane("a", "second"), 3, 0)).toMatchObject({ start: 0, delivered: 3 });
  });

  it("leaves lanes that a revision does not change undisturbed, in the middle of a delivery", async () => {
    const kept = new FakeSink();
    const removed = new FakeSink();
    const plugins = [kept.definition("kept"), removed.definition("removed")];
    const both = [tenant("a", [sinkUse("kept")]), tenant("b", [sinkUse("removed")])];
    const bench = await start({ plugins, tenants: both });
    kept.behave = async (events) => {
      await bench.clock.sleep(3_000);
      return events.map(() => ({ type: "ok" }));
    };
    await appendEvents(bench.log, "a", { count: 2 });
    await bench.clock.advance(1_000);
    await bench.worker.apply(revision(2, [tenant("a", [sinkUse("kept")])]));
    expect([removed.closed, kept.closed, kept.instances]).toEqual([1, 0, 1]);
    await bench.until(lane("a", "kept"), 2, 3_000);
    expect(kept.calls.length).toBe(1);
    const { configRevision } = (await bench.log.settlement(lane("a", "kept"), 0)) ?? {};
    expect(configRevision).toBe(2);
  });

  it("restarts a lane whose sink changed from its cursor, and closes the old sink only when its delivery is done", async () => {
    const sink = new FakeSink();
    const bench = await startOne(sink, { batch: { eventsMax: 5, bytesMax: 1_000_000, lingerMs: 0 } });
    sink.behave = async (events) => {
      await bench.clock.sleep(1_000);
      return events.map(() => ({ type: "ok" }));
    };
    const ids = await appendEvents(bench.log, "a", { count: 20 });
    await bench.clock.advance(500);
    await bench.finish(
      bench.worker.apply(revision(2, [tenant("a", [sinkUse("fake", { config: { table: "other" } })])])),
    );
    expect([sink.closed, sink.instances]).toEqual([1, 2]);
    await bench.until(LANE, 20, 10_000);
    expect([...sink.taken]).toEqual(ids.map((id) => [id, 1]));
  });

  it("drains the streams of partitions that a tenant no longer has", async () => {
    const sink = new FakeSink();
    const two = [tenant("a", [sinkUse("fake")], { partitions: 2 })];
    const bench = await start({ plugins: [sink.definition("fake")], tenants: two });
    await bench.stop();
    await appendEvents(bench.log, "a", { count: 4, partition: 1 });
    await bench.startWorker([tenant("a", [sinkUse("fake")], { partitions: 1 })]);
    expect(await bench.until(lane("a", "fake", 1), 4, 0)).toMatchObject({ delivered: 4 });
  });

  it("refuses a revision that names an unknown plugin, and goes on with the one it has", async () => {
    const sink = new FakeSink();
    const bench = await startOne(sink);
    await expect(bench.worker.apply(revision(2, [tenant("a", [sinkUse("nosuch")])]))).rejects.toThrow(/nosuch/);
    await appendEvents(bench.log, "a", { count: 1 });
    await bench.until(LANE, 1, 0);
  });

  it("shares one instance of a sink among a tenant's partitions, and none among tenants", async () => {
    const sink = new FakeSink();
    const tenants = [tenant("a", [sinkUse("fake")], { partitions: 4 }), tenant("b", [sinkUse("fake")])];
    await start({ plugins: [sink.definition("fake")], tenants });
    expect(sink.instances).toBe(2);
  });

  it("bounds what all lanes hold, and still brings every event through", async () => {
    const sink = new FakeSink();
    const names = Array.from({ length: 20 }, (_, i) => `t${i}`);
    const tenants = names.map((name) => tenant(name, [sinkUse("fake")]));
    const bench = await start({ plugins: [sink.definition("fake")], tenants, windowBytesMax: 10_000 });
    sink.behave = async (events) => {
      await bench.clock.sleep(5);
      return events.map(() => ({ type: "ok" }));
    };
    for (const name of names) await appendEvents(bench.log, name, { count: 100, prefix: `${name}-` });
    const windows = (await bench.worker.status()).map(({ window }) => window);
    // An event has 203 bytes; each of the 20 lanes may hold a little in any case.
    expect(windows.reduce((sum, window) => sum + window, 0)).toBeLessThan(250);
    for (const name of names) await bench.until(lane(name, "fake"), 100, 60_000);
    expect(sink.taken.size).toBe(2_000);
  });

  it("tells where its lanes stand", async () => {
    const sink = new FakeSink();
    const bench = await startOne(sink);
    sink.behave = (events) =>
      events.map(() => ({ type: "retry", reason: "no route", code: "EHOSTUNREACH", unavailable: true }));
    await appendEvents(bench.log, "a", { count: 7 });
    await bench.clock.advance(30_000);
    expect(await bench.worker.status()).toEqual([
      {
        tenantId: "a",
        partition: 0,
        sink: "fake",
        cursor: 0,
        end: 7,
        lag: 7,
        lagSeconds: expect.closeTo(30),
        breaker: "open",
        window: 7,
        retrying: 0,
        parked: 0,
        lastError: { at: expect.any(Number), stage: "sink fake", code: "EHOSTUNREACH", message: "no route" },
      },
    ]);
  });
});
