import { afterEach, expect, it } from "vitest";
import { auditLane } from "../core/ingestion/ledger.ts";
import type { Job } from "../core/ingestion/jobs.ts";
import type { SinkOutcome } from "../plugins/contract.ts";
import { FakeSink } from "../tests/helpers/fake-sink.ts";
import { JobBench } from "../tests/helpers/job-bench.ts";
import { appendEvents, lane, sinkUse, tenant } from "../tests/helpers/worker-bench.ts";

const benches: JobBench[] = [];
const LANE = lane("a", "fake");
const LETTERS = 40;
const OK: SinkOutcome = { type: "ok" };
const REFUSED: SinkOutcome = { type: "error", reason: "the row is bad", code: "23514" };
const OUT: SinkOutcome = { type: "retry", reason: "connection refused", code: "ECONNREFUSED", unavailable: true };

afterEach(async () => {
  for (const { bench } of benches.splice(0)) await bench.stop();
});

/** Dead letters, a redrive of them that is started, and a sink that answers all alike. */
async function redrive(answer: SinkOutcome) {
  const sink = new FakeSink();
  const says = { answer: REFUSED };
  sink.behave = (events) => events.map(() => says.answer);
  const jobs = await JobBench.start({
    plugins: [sink.definition("fake")],
    tenants: [tenant("a", [sinkUse("fake", { batch: { eventsMax: 5, bytesMax: 1 << 20, lingerMs: 0 } })])],
  });
  benches.push(jobs);
  await appendEvents(jobs.log, "a", { count: LETTERS });
  await jobs.bench.until(LANE, LETTERS, 5_000);
  says.answer = answer;
  const { id } = await jobs.create({ kind: "redrive", selection: {} });
  await jobs.bench.finish(jobs.control.start(id));
  const waits = (job: Job) => job.waits !== undefined;
  return { jobs, id, sink, says, waits };
}

async function waitingOf({ control, bench }: JobBench, id: string) {
  const { job } = await bench.finish(control.get(id));
  return (await bench.finish(control.progress(job))).waiting;
}

it.each([
  ["is out", OUT],
  ["takes nothing now", { type: "retry", reason: "connection refused", code: "ECONNREFUSED" } as const],
])("a redrive whose sink %s says what it waits for, burns nothing, and goes on by itself", async (_, answer) => {
  const { jobs, id, says, waits } = await redrive(answer);
  const waiting = await jobs.until(id, waits);
  expect(waiting.state).toBe("running");
  const wait = { sink: "fake", stage: "sink fake", code: "ECONNREFUSED", message: "connection refused", lanes: 1 };
  expect(await waitingOf(jobs, id)).toMatchObject([wait]);
  expect((await jobs.bench.finish(jobs.control.progress(waiting))).etaMs).toBeUndefined();
  for (let i = 0; i < 600; i++) {
    await jobs.bench.clock.advance(1_000);
    await jobs.step();
  }
  expect(await jobs.log.loadLane(LANE)).toMatchObject({ dead: LETTERS });
  // Since when stays, whatever the sink says at each try.
  expect((await waitingOf(jobs, id))[0]?.since).toBeLessThan(jobs.bench.clock.now() - 590_000);
  says.answer = OK;
  const done = await jobs.until(id, ({ state }) => state === "done");
  expect(done.outcome).toMatchObject({ delivered: LETTERS, failed: 0 });
  expect(done.waits).toBeUndefined();
  expect(await jobs.log.loadLane(LANE)).toMatchObject({ dead: 0, delivered: LETTERS });
  expect((await auditLane({ reader: jobs.log, lanes: jobs.log }, LANE))?.faults).toEqual([]);
});

it("a redrive that waits is paused and cancelled at once: its sink is not asked any more", async () => {
  const { jobs, id, sink, says, waits } = await redrive(OUT);
  const { bench, control } = jobs;
  await jobs.until(id, waits);
  const before = bench.clock.monotonic();
  await bench.finish(control.pause(id));
  await jobs.step();
  expect(bench.clock.monotonic() - before).toBeLessThan(50);
  const asked = sink.calls.length;
  await bench.clock.advance(60_000);
  expect(sink.calls).toHaveLength(asked);
  expect(await waitingOf(jobs, id)).toEqual([]);

  await bench.finish(control.resume(id));
  await jobs.until(id, waits);
  expect(sink.calls.length).toBeGreaterThan(asked);
  await bench.finish(control.cancel(id));
  await jobs.step();
  const last = sink.calls.length;
  says.answer = OK;
  await bench.clock.advance(60_000);
  expect(sink.calls).toHaveLength(last);
  expect((await control.get(id)).job).toMatchObject({ state: "cancelled", waits: undefined });
  expect(await jobs.log.loadLane(LANE)).toMatchObject({ dead: LETTERS });
});

it("a wait outlives the process that told of it, and ends when the sink is back", async () => {
  const { jobs, id, says, waits } = await redrive(OUT);
  await jobs.until(id, waits);
  await jobs.restart();
  expect(await waitingOf(jobs, id)).toHaveLength(1);
  says.answer = OK;
  const done = await jobs.until(id, ({ state }) => state === "done");
  expect(done.outcome).toMatchObject({ delivered: LETTERS });
  expect(await waitingOf(jobs, id)).toEqual([]);
});
