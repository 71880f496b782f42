import { afterEach, describe, expect, it } from "vitest";
import { openMemoryLog } from "../drivers/memory/index.ts";
import type { PluginDefinition } from "../plugins/contract.ts";
import { BatchRejected } from "../plugins/contract.ts";
import { FakeSink } from "../tests/helpers/fake-sink.ts";
import { SimClock, seededRandom } from "../tests/helpers/sim-clock.ts";
import { appendEvents, noMetrics, revision, silentLogger, sinkUse, tenant } from "../tests/helpers/worker-bench.ts";
import { createWorker, type LaneWorker } from "./worker.ts";

const clock = new SimClock();
const started: LaneWorker[] = [];

afterEach(async () => {
  for (const worker of started.splice(0)) {
    const stopped = worker.stop(1_000).then(() => (done = true));
    let done = false;
    await clock.runUntil(() => done, 60_000);
    await stopped;
  }
});

async function start(plugins: readonly PluginDefinition[], tenants: Parameters<typeof revision>[1]) {
  const log = openMemoryLog({ clock });
  const worker = await createWorker({
    log,
    workerId: "w0",
    revision: revision(1, tenants),
    findPlugin: (name) => plugins.find((plugin) => plugin.name === name),
    clock,
    random: seededRandom(1),
    logger: silentLogger,
    metrics: noMetrics,
  });
  started.push(worker);
  return { log, worker };
}

const lane = (tenantId: string, sink: string, partition = 0) => ({ stream: { tenantId, partition }, sink });

describe("a worker", () => {
  it("delivers what is appended and commits the cursor", async () => {
    const sink = new FakeSink();
    const { log } = await start([sink.definition("fake")], [tenant("a", [sinkUse("fake")])]);
    const ids = await appendEvents(log, "a", { count: 250 });
    await clock.runUntil(async () => (await log.loadLane(lane("a", "fake")))?.cursor === 250, 1_000);
    expect([...sink.taken.keys()]).toEqual(ids);
    expect(await log.loadLane(lane("a", "fake"))).toMatchObject({ cursor: 250, delivered: 250, dead: 0 });
  });

  it("splits a batch that the sink refuses until the guilty event stands alone", async () => {
    const sink = new FakeSink();
    sink.behave = (events) => {
      if (events.some((event) => event.event_id === "e13")) throw new BatchRejected("22P05", "NUL in jsonb");
      return events.map(() => ({ type: "ok" }));
    };
    const { log } = await start([sink.definition("fake")], [tenant("a", [sinkUse("fake")])]);
    await appendEvents(log, "a", { count: 64 });
    await clock.runUntil(async () => (await log.loadLane(lane("a", "fake")))?.cursor === 64, 1_000);
    expect(await log.loadLane(lane("a", "fake"))).toMatchObject({ delivered: 63, dead: 1 });
    expect(await log.deadLetter(lane("a", "fake"), 13)).toMatchObject({
      eventId: "e13",
      stage: "sink fake",
      code: "22P05",
    });
    expect(sink.calls.length).toBeLessThanOrEqual(1 + 2 * Math.log2(64));
  });

  it("burns no attempt in an outage, and delivers all within 5 s after it", async () => {
    const sink = new FakeSink();
    const works = sink.behave;
    sink.behave = (events) =>
      events.map(() => ({ type: "retry", reason: "connection refused", code: "ECONNREFUSED", unavailable: true }));
    const { log, worker } = await start([sink.definition("fake")], [tenant("a", [sinkUse("fake")])]);
    await appendEvents(log, "a", { count: 500 });
    await clock.advance(600_000);
    expect((await worker.status())[0]).toMatchObject({ cursor: 0, lag: 500, breaker: "open" });
    sink.behave = works;
    await clock.runUntil(async () => (await log.loadLane(lane("a", "fake")))?.cursor === 500, 5_000);
    expect(await log.loadLane(lane("a", "fake"))).toMatchObject({ delivered: 500, dead: 0 });
  });

  it("dead-letters an event that fails while others pass, after its attempts", async () => {
    const sink = new FakeSink();
    sink.behave = (events) =>
      events.map((event) =>
        event.event_id === "e5" ? { type: "retry", reason: "busy", code: "503" } : { type: "ok" },
      );
    const { log } = await start([sink.definition("fake")], [tenant("a", [sinkUse("fake")])]);
    await appendEvents(log, "a", { count: 20 });
    for (let i = 0; i < 40; i++) {
      await clock.advance(1_000);
      await appendEvents(log, "a", { count: 1, prefix: `later${i}-` });
    }
    await clock.runUntil(async () => (await log.loadLane(lane("a", "fake")))?.cursor === 60, 60_000);
    const letter = await log.deadLetter(lane("a", "fake"), 5);
    expect(letter).toMatchObject({ eventId: "e5", code: "503", message: "busy" });
    expect(await log.loadLane(lane("a", "fake"))).toMatchObject({ delivered: 59, dead: 1 });
  });
});
