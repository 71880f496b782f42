import { afterEach, describe, expect, it } from "vitest";
import { FakeSink } from "../tests/helpers/fake-sink.ts";
import { JobBench } from "../tests/helpers/job-bench.ts";
import { appendEvents, lane, sinkUse, tenant } from "../tests/helpers/worker-bench.ts";

const LANE = lane("a", "fake");
const benches: JobBench[] = [];

afterEach(async () => {
  for (const { bench } of benches.splice(0)) await bench.stop();
});

async function start() {
  const sink = new FakeSink();
  const deliveries: string[] = [];
  sink.behave = (events) =>
    events.map(({ event_id }) => {
      deliveries.push(event_id);
      return { type: "ok" };
    });
  const tenants = [tenant("a", [sinkUse("fake")])];
  const jobs = await JobBench.start({ plugins: [sink.definition("fake")], tenants });
  benches.push(jobs);
  return { jobs, bench: jobs.bench, deliveries };
}

describe("a plan", () => {
  const range = { partition: 0, from: 0, to: 10 };
  it.each([
    ["a redrive, which names dead letters", "redrive", [range], "/selection/positions"],
    [
      "a second range of a partition",
      "replay",
      [range, { ...range, from: 20, to: 30 }],
      "/selection/positions/1/partition",
    ],
  ] as const)("takes no positions of %s", async (_what, kind, positions, pointer) => {
    const { jobs } = await start();
    const refused = jobs.create({ kind, selection: { positions } });
    await expect(refused).rejects.toMatchObject({ code: "malformed_request", violations: [{ pointer }] });
  });

  it("holds events back for a day while nobody starts it, and then is to be planned anew", async () => {
    const { jobs, bench } = await start();
    await appendEvents(bench.log, "a", { count: 10 });
    await bench.until(LANE, 10, 5_000);
    const { id } = await jobs.create({ kind: "replay", selection: {} });
    expect(await jobs.control.unended()).toHaveLength(1);
    await bench.clock.advance(86_400_001);
    expect(await jobs.control.unended()).toEqual([]);
    await expect(bench.finish(jobs.control.start(id))).rejects.toMatchObject({ code: "conflict" });
    await bench.finish(jobs.control.cancel(id));
  });
});

describe("a job", () => {
  it("that was cancelled tells of what was delivered between that and its end", async () => {
    const { jobs, bench, deliveries } = await start();
    await appendEvents(bench.log, "a", { count: 1_000 });
    await bench.until(LANE, 1_000, 5_000);
    deliveries.length = 0;
    const { id } = await jobs.create({ kind: "replay", selection: {}, rate: { eventsPerSecond: 100 } });
    await bench.finish(jobs.control.start(id));
    await jobs.step();
    await bench.clock.advance(1_000);
    const { job } = await bench.finish(jobs.control.cancel(id));
    const before = deliveries.length;
    await bench.clock.advance(1_000);
    expect(deliveries.length).toBeGreaterThan(before);
    await jobs.step();
    expect((await jobs.control.progress(job)).delivered).toBe(deliveries.length);
  });
});
