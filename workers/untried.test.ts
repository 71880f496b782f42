import { afterEach, describe, expect, it } from "vitest";
import type { SinkOutcome } from "../plugins/contract.ts";
import { FakeSink } from "../tests/helpers/fake-sink.ts";
import { appendEvents, lane, sinkUse, tenant, WorkerBench } from "../tests/helpers/worker-bench.ts";

const benches: WorkerBench[] = [];

afterEach(async () => {
  for (const bench of benches.splice(0)) await bench.stop();
});

const LANE = lane("a", "fake");
const OK: SinkOutcome = { type: "ok" };
const UNTRIED: SinkOutcome = { type: "retry", reason: "no time left", untried: true };

async function startWith(sink: FakeSink): Promise<WorkerBench> {
  const use = sinkUse("fake", { retry: { attempts: 2, backoffMinMs: 1_000, backoffMaxMs: 60_000, timeoutMs: 10_000 } });
  const bench = await WorkerBench.start({ plugins: [sink.definition("fake")], tenants: [tenant("a", [use])] });
  benches.push(bench);
  return bench;
}

describe("an event that the sink did not get to", () => {
  it("goes again at once, however often, and burns no attempt", async () => {
    const sink = new FakeSink();
    sink.behave = (events) => events.map((_, i) => (i === 0 ? OK : UNTRIED));
    const bench = await startWith(sink);
    await appendEvents(bench.log, "a", { count: 50 });
    expect(await bench.until(LANE, 50, 100)).toMatchObject({ delivered: 50, dead: 0 });
    expect(sink.calls.map((ids) => ids.length)).toEqual(Array.from({ length: 50 }, (_, i) => 50 - i));
  });

  it("is a plain retry when the sink got to none: it is not asked again without a pause", async () => {
    const sink = new FakeSink();
    sink.behave = (events) => events.map(() => UNTRIED);
    const bench = await startWith(sink);
    await appendEvents(bench.log, "a", { count: 50 });
    await bench.clock.advance(60_000);
    expect(sink.calls.length).toBeGreaterThan(1);
    expect(sink.calls.length).toBeLessThan(100);
    sink.behave = (events) => events.map(() => OK);
    expect(await bench.until(LANE, 50, 5_000)).toMatchObject({ delivered: 50, dead: 0 });
  });
});

it("keeps the target's last answer in the dead letter of an event whose tries are used up", async () => {
  const sink = new FakeSink();
  sink.behave = (events) =>
    events.map(({ event_id }) =>
      event_id === "e0" ? { type: "retry", reason: "busy", code: "500", response: "stack trace" } : OK,
    );
  const bench = await startWith(sink);
  await appendEvents(bench.log, "a", { count: 2 });
  // It needs neighbours that pass, or else it counts as an outage.
  for (let i = 0; i < 20; i++) {
    await bench.clock.advance(2_000);
    await appendEvents(bench.log, "a", { count: 1, prefix: `next${i}-` });
  }
  expect(await bench.until(LANE, 22, 120_000)).toMatchObject({ delivered: 21, dead: 1 });
  expect(await bench.log.deadLetter(LANE, 0)).toMatchObject({ code: "500", response: "stack trace" });
});
