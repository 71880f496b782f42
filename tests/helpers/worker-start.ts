import { onTestFinished } from "vitest";
import type { FakeSink } from "./fake-sink.ts";
import { type BenchOptions, sinkUse, tenant, WorkerBench } from "./worker-bench.ts";

/** A worker that is stopped when the test ends. */
export async function start(options: BenchOptions): Promise<WorkerBench> {
  const bench = await WorkerBench.start(options);
  onTestFinished(() => bench.stop());
  return bench;
}

/** One tenant `a` with one sink `fake`; `single`: without `sendBatch`. */
export async function startOne(
  sink: FakeSink,
  change: Parameters<typeof sinkUse>[1] = {},
  single = false,
): Promise<WorkerBench> {
  return start({ plugins: [sink.definition("fake", { single })], tenants: [tenant("a", [sinkUse("fake", change)])] });
}
