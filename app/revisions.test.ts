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
