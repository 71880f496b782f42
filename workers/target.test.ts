import { expect, it } from "vitest";
import { FakeSink } from "../tests/helpers/fake-sink.ts";
import { SimClock } from "../tests/helpers/sim-clock.ts";
import { noMetrics, silentLogger, sinkUse } from "../tests/helpers/worker-bench.ts";
import type { WorkerDeps } from "./deps.ts";
import { Target, type Waiter } from "./target.ts";
import { Timers } from "./timers.ts";

const OUT = { unavailable: true, retryAfterMs: 0, code: "OUT", reason: "out" };

async function startTarget(): Promise<{ clock: SimClock; target: Target }> {
  const clock = new SimClock();
  const deps = {
    timers: new Timers(clock),
    random: () => 0.5,
    logger: silentLogger,
    metrics: noMetrics,
    pluginMetrics: () => ({ count: () => undefined, observe: () => undefined }),
  } as unknown as WorkerDeps;
  const target = new Target({
    deps,
    tenantId: "a",
    use: sinkUse("fake"),
    definition: new FakeSink().definition("fake"),
  });
  await target.host.start();
  return { clock, target };
}

it("resumes a lane that waits, though the one that probed never asks again", async () => {
  const { clock, target } = await startTarget();
  const asks: number[] = [];
  const prober = { resume: () => undefined };
  const waiter = { resume: () => void (target.permit(waiter, 0) === "probe" && asks.push(clock.monotonic())) };
  target.failed(OUT);
  await clock.advance(1_000);
  expect(target.permit(prober, 0)).toBe("probe");
  expect(target.permit(waiter, 0)).toBe("wait");
  target.failed(OUT);
  await clock.advance(2_000);
  expect(asks.length).toBe(1);
});

it("asks a sink that leaves its calls hanging only now and then", async () => {
  const { clock, target } = await startTarget();
  let permits = 0;
  const lane = { resume: () => ask() };
  const ask = () => {
    if (target.permit(lane, 256) !== "wait") permits += 1;
    else return;
    ask();
  };
  ask();
  await clock.advance(89_000);
  expect(permits).toBe(3);
});

it("lets only so many deliveries out at one time, and the next when one is back", async () => {
  const { target } = await startTarget();
  const out: Waiter[] = [];
  const lane = (): Waiter => {
    const waiter = { resume: () => void (target.permit(waiter, 0) === "batch" && out.push(waiter)) };
    return waiter;
  };
  const lanes = Array.from({ length: 6 }, lane);
  for (const one of lanes) one.resume();
  expect(out).toEqual(lanes.slice(0, 4));
  target.left(lanes[1]!, { ok: true, tookMs: 10 });
  expect(out.length).toBeGreaterThan(4);
  // A whole round that failed: from here on fewer.
  for (const one of [...out]) target.left(one, { ok: false, tookMs: 10 });
  out.length = 0;
  for (const one of lanes) one.resume();
  expect(out.length).toBeLessThan(4);
});
