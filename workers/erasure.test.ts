import { afterEach, describe, expect, it } from "vitest";
import type { SinkOutcome } from "../plugins/contract.ts";
import { FakeSink } from "../tests/helpers/fake-sink.ts";
import { appendEvents, lane, sinkUse, tenant, WorkerBench } from "../tests/helpers/worker-bench.ts";

const STREAM = { tenantId: "a", partition: 0 };
const LANE = lane("a", "one");
const AT = 1_770_000_000_000;
const benches: WorkerBench[] = [];

afterEach(async () => {
  for (const bench of benches.splice(0)) await bench.stop();
});

async function start(sink: FakeSink): Promise<WorkerBench> {
  const bench = await WorkerBench.start({
    plugins: [sink.definition("one")],
    tenants: [tenant("a", [sinkUse("one")])],
  });
  benches.push(bench);
  return bench;
}

describe("erased events", () => {
  it("are passed over and counted as erased, also the last of a stream", async () => {
    const sink = new FakeSink();
    const bench = await start(sink);
    await bench.finish(bench.worker.hold(["a/0/one"]));
    await appendEvents(bench.log, "a", { count: 5 });
    await bench.ask(() => bench.log.erase(STREAM, [1, 4], AT));
    await bench.finish(bench.worker.hold([]));
    expect(await bench.until(LANE, 5, 1_000)).toMatchObject({ delivered: 3, erased: 2, dead: 0 });
    expect(sink.taken.size).toBe(3);
  });

  it("are not delivered out of what a lane had read before, once the lanes read anew", async () => {
    const sink = new FakeSink();
    let isOut = true;
    const refusal: SinkOutcome = { type: "retry", reason: "the sink is out", unavailable: true };
    sink.behave = (events) => events.map(() => (isOut ? refusal : { type: "ok" }));
    const bench = await start(sink);
    await appendEvents(bench.log, "a", { count: 5 });
    await bench.clock.advance(1_000);
    expect(sink.calls.length).toBeGreaterThan(0);
    await bench.ask(() => bench.log.erase(STREAM, [0, 1, 2, 3, 4], AT));
    await bench.finish(bench.worker.reread("a"));
    isOut = false;
    expect(await bench.until(LANE, 5, 60_000)).toMatchObject({ delivered: 0, erased: 5 });
    expect(sink.taken.size).toBe(0);
  });
});
