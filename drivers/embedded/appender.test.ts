import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { LogMetrics } from "../../core/ingestion/metrics.ts";
import { type EmbeddedLog, openEmbeddedLog } from "./index.ts";
import { AT_ONCE_BYTES_MAX } from "./quick-writes.ts";
import { SimDisk } from "./sim-disk.ts";
import { entryOf, quietLogger, SteppedClock } from "./testing.ts";

let folder: string;
let log: EmbeddedLog;
let commits: number[];

beforeEach(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), "pulsegate-log-"));
  commits = [];
  const metrics: LogMetrics = { commit: ({ entries }) => commits.push(entries), dedup() {}, failed() {}, alarm() {} };
  const disk = new SimDisk();
  const clock = new SteppedClock({ hasty: true });
  log = await openEmbeddedLog({ path: folder, clock, logger: quietLogger, metrics, segmentBytes: 1 << 20, disk });
});
afterEach(async () => {
  await log.close();
  await fs.rm(folder, { recursive: true, force: true });
});

/** One call in each turn of the loop, of so many entries; resolves when all are acknowledged. */
async function appendEachTurn(calls: number, entriesPerCall = 1): Promise<void> {
  const appends: Array<Promise<unknown>> = [];
  for (let i = 0; i < calls; i++) {
    appends.push(log.append(Array.from({ length: entriesPerCall }, (_, k) => entryOf("t", `e${i}-${k}`))));
    await turn();
  }
  await Promise.all(appends);
}

describe("a commit", () => {
  it("takes in what comes turn after turn", async () => {
    await appendEachTurn(5);
    expect(commits).toEqual([5]);
  });

  it("comes although every turn brings more", async () => {
    await appendEachTurn(100);
    expect(commits[0]).toBe(17);
  });

  it("waits for no more once it is large", async () => {
    await appendEachTurn(10, 200);
    expect(commits[0]).toBe(400);
  });

  it("begins within the turn once there is more than is written at once", async () => {
    const half = Math.floor(AT_ONCE_BYTES_MAX * 0.6);
    await Promise.all(["a", "b", "c"].map((id) => log.append([entryOf("t", id, half)])));
    expect(commits).toEqual([2, 1]);
  });

  it("of a single entry waits for one turn", async () => {
    const append = log.append([entryOf("t", "alone")]);
    await turn();
    await turn();
    await turn();
    expect(commits).toEqual([1]);
    await append;
  });
});
