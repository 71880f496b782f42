import { expect, test } from "vitest";
import { laneKey } from "../core/ingestion/log.ts";
import type { Revision } from "../core/ingestion/revision.ts";
import { openMemoryLog } from "../drivers/memory/index.ts";
import { systemClock } from "../observability/system-clock.ts";
import { appendEvents, revision, sinkUse, tenant } from "../tests/helpers/worker-bench.ts";
import { adoptRevision, swapRevision } from "./revisions.ts";

function draftOf(...sinks: readonly string[]) {
  const { number: _, ...draft } = revision(0, [
    tenant(
      "shop",
      sinks.map((name) => sinkUse(name)),
    ),
  ]);
  return draft;
}

/** Two threads that take what they are given one after the other; the second refuses what names `refused`. */
class Workers {
  readonly running: (Revision | undefined)[] = [undefined, undefined];

  async apply(next: Revision): Promise<void> {
    this.running[0] = next;
    if (next.tenants.some(({ sinks }) => sinks.some(({ name }) => name === "refused"))) throw new Error("no such sink");
    this.running[1] = next;
  }
}

async function setUp() {
  const log = openMemoryLog({ clock: systemClock });
  const running = await adoptRevision(log, draftOf("raw"));
  const workers = new Workers();
  await workers.apply(running);
  return { log, running, workers };
}

test("a change is numbered and its lanes are opened at the tail before the workers get it", async () => {
  const { log, running, workers } = await setUp();
  await appendEvents(log, "shop", { count: 3 });
  const next = await swapRevision({ log, draft: draftOf("raw", "copy"), running, workers });
  expect([running.number, next.number]).toEqual([1, 2]);
  expect(workers.running).toEqual([next, next]);
  expect(await log.loadLane({ stream: { tenantId: "shop", partition: 0 }, sink: "copy" })).toMatchObject({ cursor: 3 });
});

test("a change that the workers refuse leaves no trace: no number, no lane, and every thread has the old one", async () => {
  const { log, running, workers } = await setUp();
  const before = await log.lanes();
  const refused = draftOf("raw", "copy", "refused");
  await expect(swapRevision({ log, draft: refused, running, workers })).rejects.toThrow("no such sink");
  expect(await log.lanes()).toEqual(before);
  expect(workers.running).toEqual([running, running]);
  expect((await swapRevision({ log, draft: draftOf("raw", "copy"), running, workers })).number).toBe(2);
});

test("a refused change leaves the lanes alone that were there, in use or not", async () => {
  const { log, running, workers } = await setUp();
  const stream = { tenantId: "shop", partition: 0 };
  await appendEvents(log, "shop", { count: 3 });
  await log.openLane({ stream, sink: "copy" }, "start");
  const refused = draftOf("copy", "refused");
  await expect(swapRevision({ log, draft: refused, running, workers })).rejects.toThrow();
  expect((await log.lanes()).map(({ lane, state }) => [laneKey(lane), state.cursor])).toEqual([
    ["shop/0/raw", 0],
    ["shop/0/copy", 0],
  ]);
});

test("the old configuration keeps its number after a refused change", async () => {
  const { log, running, workers } = await setUp();
  await expect(swapRevision({ log, draft: draftOf("refused"), running, workers })).rejects.toThrow();
  expect((await adoptRevision(log, draftOf("raw"))).number).toBe(running.number);
});

test("of many processes that have seen the same revision one makes the next, and the others change nothing", async () => {
  const { log, running, workers } = await setUp();
  const tries = Array.from({ length: 8 }, (_, i) =>
    swapRevision({ log, draft: draftOf("raw", `copy${i}`), running, workers, expected: running.number }),
  );
  const ends = await Promise.allSettled(tries);
  const codes = ends.map((end) => (end.status === "rejected" ? end.reason.code : "done"));
  expect(codes.filter((code) => code === "done")).toHaveLength(1);
  expect(codes.filter((code) => code === "precondition_failed")).toHaveLength(7);
  const winner = codes.indexOf("done");
  expect((await log.lanes()).map(({ lane }) => lane.sink).sort()).toEqual([`copy${winner}`, "raw"]);
  expect(workers.running[1]?.number).toBe(2);
});

test("without an expectation all of them are numbered, one after the other", async () => {
  const { log, running, workers } = await setUp();
  const tries = Array.from({ length: 4 }, (_, i) =>
    swapRevision({ log, draft: draftOf("raw", `copy${i}`), running, workers }),
  );
  expect((await Promise.all(tries)).map(({ number }) => number).toSorted((a, b) => a - b)).toEqual([2, 3, 4, 5]);
});

test("a change that is refused takes no lane away from a process that has gone on meanwhile", async () => {
  const { log, running } = await setUp();
  const there = draftOf("raw", "copy", "more");
  const workers = {
    async apply(next: Revision): Promise<void> {
      if (next.number === running.number) return;
      await adoptRevision(log, there);
      throw new Error("no such sink");
    },
  };
  await expect(swapRevision({ log, draft: draftOf("raw", "copy"), running, workers })).rejects.toThrow("no such sink");
  expect((await log.lanes()).map(({ lane }) => lane.sink)).toEqual(["raw", "copy", "more"]);
  expect((await adoptRevision(log, there)).number).toBe(3);
});

test("processes that start together on a new log all run its first revision", async () => {
  const log = openMemoryLog({ clock: systemClock });
  const adopted = await Promise.all(Array.from({ length: 8 }, () => adoptRevision(log, draftOf("raw"))));
  expect(adopted.map(({ number }) => number)).toEqual(Array.from({ length: 8 }, () => 1));
});
