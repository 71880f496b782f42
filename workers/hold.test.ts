import { afterEach, describe, expect, it } from "vitest";
import { FakeSink } from "../tests/helpers/fake-sink.ts";
import { appendEvents, lane, revision, sinkUse, tenant, WorkerBench } from "../tests/helpers/worker-bench.ts";

const benches: WorkerBench[] = [];

afterEach(async () => {
  for (const bench of benches.splice(0)) await bench.stop();
});

const HELD = lane("a", "one");
const FREE = lane("a", "two");

async function start(sink: FakeSink, other = new FakeSink()): Promise<WorkerBench> {
  const plugins = [sink.definition("one"), other.definition("two")];
  const bench = await WorkerBench.start({ plugins, tenants: [tenant("a", [sinkUse("one"), sinkUse("two")])] });
  benches.push(bench);
  return bench;
}

const skip = (bench: WorkerBench, sequence: number) =>
  bench.finish(bench.worker.skip({ lane: HELD, sequence, reason: "refused for hours" }));

describe("a paused lane", () => {
  it("delivers nothing while its neighbour goes on, and all of it once resumed", async () => {
    const sink = new FakeSink();
    const bench = await start(sink);
    await appendEvents(bench.log, "a", { count: 3 });
    await bench.until(HELD, 3, 1_000);
    await bench.finish(bench.worker.hold(["a/0/one"]));
    await appendEvents(bench.log, "a", { count: 5, prefix: "later" });
    await bench.until(FREE, 8, 1_000);
    expect(sink.taken.size).toBe(3);
    expect(await bench.ask(() => bench.log.loadLane(HELD))).toMatchObject({ cursor: 3, delivered: 3 });
    await bench.finish(bench.worker.hold([]));
    expect(await bench.until(HELD, 8, 1_000)).toMatchObject({ delivered: 8 });
  });

  it("stays paused when the configuration changes", async () => {
    const sink = new FakeSink();
    const bench = await start(sink);
    await bench.finish(bench.worker.hold(["a/0/one"]));

    await bench.finish(
      bench.worker.apply(revision(2, [tenant("a", [sinkUse("one", { windowEvents: 7 }), sinkUse("two")])])),
    );
    await appendEvents(bench.log, "a", { count: 2 });
    await bench.until(FREE, 2, 1_000);
    expect(sink.taken.size).toBe(0);
  });

  it("skips the event at its cursor: a dead letter with the reason, and the rest is delivered", async () => {
    const sink = new FakeSink();
    const bench = await start(sink);
    await bench.finish(bench.worker.hold(["a/0/one"]));
    await appendEvents(bench.log, "a", { count: 3 });
    expect(await skip(bench, 0)).toBe(true);
    const letter = await bench.log.deadLetter(HELD, 0);
    expect(letter).toMatchObject({ stage: "operator", code: "skipped", message: "refused for hours", eventId: "e0" });
    await bench.finish(bench.worker.hold([]));
    expect(await bench.until(HELD, 3, 1_000)).toMatchObject({ delivered: 2, dead: 1 });
    expect([...sink.taken.keys()]).toEqual(["e1", "e2"]);
  });

  it.each([
    ["a place that is not the cursor", 1],
    ["the end, where no event is yet", 3],
  ])("refuses to skip %s", async (_name, sequence) => {
    const bench = await start(new FakeSink());
    await appendEvents(bench.log, "a", { count: 3 });
    await bench.until(HELD, 3, 1_000);
    await bench.finish(bench.worker.hold(["a/0/one"]));
    await expect(skip(bench, sequence)).rejects.toMatchObject({ code: "conflict" });
    expect(await bench.ask(() => bench.log.loadLane(HELD))).toMatchObject({ cursor: 3, dead: 0 });
  });
});

it("a lane that runs refuses to skip", async () => {
  const sink = new FakeSink();
  sink.behave = () => new Promise(() => undefined);
  const bench = await start(sink);
  await appendEvents(bench.log, "a", { count: 1 });
  await expect(skip(bench, 0)).rejects.toThrow("pause it first");
});
