import { afterEach, expect, it } from "vitest";
import type { LogFields } from "../core/environment.ts";
import { FakeSink } from "../tests/helpers/fake-sink.ts";
import { appendEvents, type BenchOptions, silentLogger, sinkUse, tenant } from "../tests/helpers/worker-bench.ts";
import { JobBench } from "../tests/helpers/job-bench.ts";

const MESSAGE = "a delivery under way was cut off; it comes at the next start";
const benches: JobBench[] = [];

afterEach(async () => {
  for (const { bench } of benches.splice(0)) await bench.stop();
});

/** A tenant `a` of two partitions with a sink `fake`, and what the worker warns of. */
async function start(sink: FakeSink, override?: BenchOptions["override"]) {
  const warned: Array<LogFields | string>[] = [];
  const logger = { ...silentLogger, warn: (...line: Array<LogFields | string>) => void warned.push(line) };
  const tenants = [tenant("a", [sinkUse("fake")], { partitions: 2 })];
  const plugins = [sink.definition("fake")];
  const jobs = await JobBench.start({ plugins, tenants, logger, ...(override === undefined ? {} : { override }) });
  benches.push(jobs);
  const append = (partition: number, count: number, prefix: string) =>
    appendEvents(jobs.log, "a", { partition, count, prefix });
  return { jobs, bench: jobs.bench, append, warned };
}

function hangs(sink: FakeSink): void {
  sink.behave = () => new Promise(() => undefined);
}

it("names the sink whose delivery a stop cuts off, and how much of all its partitions is left", async () => {
  const sink = new FakeSink();
  const { bench, append, warned } = await start(sink);
  await append(0, 2, "done");
  await bench.until({ stream: { tenantId: "a", partition: 0 }, sink: "fake" }, 2, 100);
  hangs(sink);
  await append(0, 3, "x");
  await append(1, 150, "y");
  await bench.clock.advance(10);
  await bench.stop(1_000);
  expect(warned).toEqual([[{ tenant_id: "a", sink: "fake", job: undefined, undelivered: 153 }, MESSAGE]]);
});

it("says nothing when what was under way came to its end in time", async () => {
  const sink = new FakeSink();
  const { bench, append, warned } = await start(sink);
  sink.behave = async (events) => {
    await bench.clock.sleep(500);
    return events.map(() => ({ type: "ok" }));
  };
  await append(0, 3, "x");
  await bench.clock.advance(10);
  await bench.stop(1_000);
  expect(warned).toEqual([]);
});

it("does not wait for a log that does not tell how much is left", async () => {
  const sink = new FakeSink();
  const { bench, append, warned } = await start(sink, () => ({ bounds: () => new Promise(() => undefined) }));
  hangs(sink);
  await append(0, 3, "x");
  await bench.clock.advance(10);
  const before = bench.clock.monotonic();
  await bench.stop(1_000);
  expect(bench.clock.monotonic() - before).toBeLessThanOrEqual(1_600);
  expect(warned).toEqual([[expect.objectContaining({ sink: "fake", undelivered: undefined }), MESSAGE]]);
});

it("names the job whose delivery is cut off", async () => {
  const sink = new FakeSink();
  const { jobs, bench, append, warned } = await start(sink);
  await append(0, 5, "x");
  await bench.until({ stream: { tenantId: "a", partition: 0 }, sink: "fake" }, 5, 100);
  hangs(sink);
  const { id } = await jobs.create({ kind: "replay", selection: {} });
  await bench.finish(jobs.control.start(id));
  await jobs.step();
  await bench.clock.advance(10);
  await bench.stop(1_000);
  expect(warned).toEqual([[{ tenant_id: "a", sink: "fake", job: id, undelivered: 5 }, MESSAGE]]);
});
