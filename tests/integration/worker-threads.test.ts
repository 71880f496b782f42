import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Logger } from "../../core/environment.ts";
import type { Revision, SinkUse } from "../../core/ingestion/revision.ts";
import { type EmbeddedLog, openEmbeddedLog } from "../../drivers/embedded/index.ts";
import { createMetrics } from "../../observability/metrics.ts";
import { systemClock } from "../../observability/system-clock.ts";
import { startWorkers, type WorkerPool } from "../../workers/pool.ts";
import { appendEvents, lane, revision, silentLogger, sinkUse, tenant } from "../helpers/worker-bench.ts";

const ENTRY = new URL("../helpers/worker-thread.ts", import.meta.url);

let root: string;
let log: EmbeddedLog;
let pool: WorkerPool | undefined;
const lines: { level: string; fields: Readonly<Record<string, unknown>>; message: string }[] = [];
const fatal: Error[] = [];

const listening: Logger = {
  debug: () => undefined,
  info: (fields, message) => lines.push({ level: "info", fields, message }),
  warn: (fields, message) => lines.push({ level: "warn", fields, message }),
  error: (fields, message) => lines.push({ level: "error", fields, message }),
};

async function openLog(): Promise<EmbeddedLog> {
  return openEmbeddedLog({
    path: join(root, "log"),
    clock: systemClock,
    logger: silentLogger,
    metrics: createMetrics().log,
    segmentBytes: 1 << 20,
  });
}

async function startPool(rev: Revision, count = 2): Promise<WorkerPool> {
  pool = await startWorkers({
    count,
    handle: (worker) => log.handle(worker),
    revision: rev,
    logger: listening,
    onFatal: (error) => fatal.push(error),
    entry: ENTRY,
  });
  return pool;
}

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "pulsegate-workers-"));
  log = await openLog();
  lines.length = 0;
  fatal.length = 0;
});

afterEach(async () => {
  await pool?.stop(2_000);
  pool = undefined;
  await log.close();
  rmSync(root, { recursive: true, force: true });
});

function moody(name: string, change: Partial<SinkUse> = {}): SinkUse {
  const folder = join(root, name);
  mkdirSync(folder, { recursive: true });
  return sinkUse("moody", { id: name, config: { folder }, ...change });
}

function written(name: string): string[] {
  const file = join(root, name, "out");
  return existsSync(file) ? readFileSync(file, "utf8").split("\n").slice(0, -1) : [];
}

async function settled(tenantId: string, sink: string, cursor: number): Promise<void> {
  await vi.waitUntil(async () => (await log.loadLane(lane(tenantId, sink)))?.cursor === cursor, {
    timeout: 15_000,
    interval: 10,
  });
}

describe("workers on threads over the embedded log", () => {
  it("deliver the events of every tenant, whichever thread owns its stream", async () => {
    const names = Array.from({ length: 10 }, (_, i) => `t${i}`);
    await startPool(
      revision(
        1,
        names.map((name) => tenant(name, [moody(name)])),
      ),
    );
    for (const name of names) await appendEvents(log, name, { count: 100, prefix: `${name}-` });
    for (const name of names) await settled(name, name, 100);
    for (const name of names) expect(written(name)).toEqual(Array.from({ length: 100 }, (_, i) => `${name}-${i}`));
  });

  it("keep one tenant's dead sink and another's hung one from the rest; all is delivered after", async () => {
    const retry = { attempts: 2, backoffMinMs: 50, backoffMaxMs: 60_000, timeoutMs: 5_000 };
    const tenants = [
      tenant("a", [moody("dead", { retry })]),
      tenant("h", [moody("hung", { retry })]),
      tenant("b", [moody("fine")]),
    ];
    await startPool(revision(1, tenants), 1);
    writeFileSync(join(root, "dead", "out-of-order"), "");
    writeFileSync(join(root, "hung", "hangs"), "");
    await appendEvents(log, "a", { count: 300 });
    await appendEvents(log, "h", { count: 300 });
    await vi.waitUntil(
      async () => (await pool?.status())?.some(({ sink, breaker }) => sink === "dead" && breaker === "open"),
      { timeout: 10_000 },
    );
    for (let i = 0; i < 20; i++) {
      await appendEvents(log, "b", { count: 10, prefix: `${i}-` });
      await settled("b", "fine", 10 * (i + 1));
    }
    expect(await log.deadLetters({ limit: 1 })).toEqual([]);
    rmSync(join(root, "dead", "out-of-order"));
    rmSync(join(root, "hung", "hangs"));
    const backAt = performance.now();
    await settled("a", "dead", 300);
    expect(performance.now() - backAt).toBeLessThan(5_000);
    await settled("h", "hung", 300);
    expect(new Set(written("dead")).size).toBe(300);
    expect(await log.deadLetters({ limit: 1 })).toEqual([]);
  });

  it("survive the death of a thread: the next one goes on at the cursor, and says so", async () => {
    await startPool(revision(1, [tenant("a", [moody("one")])]));
    await appendEvents(log, "a", { count: 50 });
    await settled("a", "one", 50);
    await appendEvents(log, "a", { count: 10, prefix: "kill" });
    await settled("a", "one", 60);
    expect(written("one").filter((id) => id.startsWith("e")).length).toBe(50);
    expect(written("one").slice(50)).toEqual(Array.from({ length: 10 }, (_, i) => `kill${i}`));
    const died = lines.find(({ message }) => message.includes("worker thread died"));
    expect(died).toMatchObject({
      level: "error",
      fields: { error: expect.objectContaining({ message: "a bug in a plugin" }) },
    });
    expect(fatal).toEqual([]);
  });

  it("outlive a promise that a plugin forgot", async () => {
    await startPool(revision(1, [tenant("a", [moody("one")])]));
    await appendEvents(log, "a", { count: 3, prefix: "stray" });
    await settled("a", "one", 3);
    await vi.waitUntil(() => lines.some(({ message }) => message === "unhandled rejection in a worker"), {
      timeout: 5_000,
    });
    expect(lines.some(({ message }) => message.includes("died"))).toBe(false);
  });

  it("take up and let go of sinks while they run", async () => {
    const one = moody("one");
    const workers = await startPool(revision(1, [tenant("a", [one])]));
    await appendEvents(log, "a", { count: 5, prefix: "first" });
    await settled("a", "one", 5);
    await workers.apply(revision(2, [tenant("a", [one, moody("two")])]));
    await appendEvents(log, "a", { count: 5, prefix: "both" });
    await settled("a", "one", 10);
    await settled("a", "two", 10);
    await workers.apply(revision(3, [tenant("a", [moody("two")])]));
    await appendEvents(log, "a", { count: 5, prefix: "second" });
    await settled("a", "two", 15);
    expect(written("one").length).toBe(10);
    expect(written("two").map((id) => id.slice(0, -1))).toEqual([...Array(5).fill("both"), ...Array(5).fill("second")]);
    await workers.apply(revision(4, [tenant("a", [one, moody("two")])]));
    await settled("a", "one", 15);
    expect(written("one").slice(10)).toEqual(Array.from({ length: 5 }, (_, i) => `second${i}`));
  });

  it("refuse a revision with an unknown sink as a whole, and go on", async () => {
    const workers = await startPool(revision(1, [tenant("a", [moody("one")])]));
    await expect(workers.apply(revision(2, [tenant("a", [sinkUse("nosuch")])]))).rejects.toThrow(
      "There is no sink named nosuch",
    );
    await appendEvents(log, "a", { count: 1 });
    await settled("a", "one", 1);
  });

  it("go on at the cursor after the whole process was started anew", async () => {
    const rev = revision(1, [tenant("a", [moody("one")])]);
    await startPool(rev);
    await appendEvents(log, "a", { count: 20 });
    await settled("a", "one", 20);
    await pool?.stop(2_000);
    await appendEvents(log, "a", { count: 5, prefix: "later" });
    await log.close();
    log = await openLog();
    await startPool(rev);
    await settled("a", "one", 25);
    expect(written("one").slice(20)).toEqual(["later0", "later1", "later2", "later3", "later4"]);
  });

  it("stop within the deadline though a sink hangs, and deliver its events after the next start", async () => {
    const rev = revision(1, [tenant("a", [moody("one")])]);
    writeFileSync(join(root, "one", "hangs"), "");
    const workers = await startPool(rev);
    await appendEvents(log, "a", { count: 5 });
    await vi.waitUntil(async () => (await workers.status()).some(({ window }) => window === 5), { timeout: 5_000 });
    const startedAt = performance.now();
    await workers.stop(1_000);
    expect(performance.now() - startedAt).toBeLessThan(1_500);
    expect(await log.loadLane(lane("a", "one"))).toMatchObject({ cursor: 0 });
    rmSync(join(root, "one", "hangs"));
    await startPool(rev);
    await settled("a", "one", 5);
  });

  it("report the metrics of their threads, plugins' own included", async () => {
    const workers = await startPool(revision(1, [tenant("a", [moody("one")])]));
    await appendEvents(log, "a", { count: 30 });
    await settled("a", "one", 30);
    const text = await createMetrics().text(await workers.scrape(["a"]));
    expect(text).toMatch(/pulsegate_stream_lag\{tenant="a",sink="one"\} 0/);
    expect(text).toMatch(/pulsegate_plugin\w*\{plugin="moody",name="written"\} 30/);
  });
});
