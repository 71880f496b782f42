import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import fs from "node:fs/promises";
import { parseArgs } from "node:util";
import { type EmbeddedLog, openEmbeddedLog } from "../drivers/embedded/index.ts";
import { benchClock, benchFolder, entryMaker, quiet, silent } from "./log-tools.ts";

/**
 * What the log costs as its backlog grows: time to restart, append rate, memory, each in a fresh
 * process over the same folder; and CPU per event for one tenant and for many. Every event carries an
 * id of the client's own, the worst case for deduplication.
 */
const { values } = parseArgs({
  options: {
    sizes: { type: "string", default: "10000,100000,1000000,10000000" },
    tenants: { type: "string", default: "1,10000" },
    bytes: { type: "string", default: "250" },
    events: { type: "string", default: "200000" },
    json: { type: "boolean", default: false },
    out: { type: "string" },
    help: { type: "boolean", default: false },
    // One step, in a process of its own.
    step: { type: "string" },
    folder: { type: "string" },
  },
});

const BYTES = Number(values.bytes);
const EVENTS = Number(values.events);
const CALLERS = 64;
/** At its full size from the start: how far it happens to have grown is not what is measured. */
const YOUNG_GENERATION = ["--min-semi-space-size=16", "--max-semi-space-size=16"];

if (values.help) {
  console.log(
    "node bench/log-growth.ts [--sizes 10000,…] [--tenants 1,10000] [--bytes 250] [--events 200000] [--json] [--out FILE]",
  );
} else if (values.step !== undefined) {
  console.log(JSON.stringify(await step(JSON.parse(values.step) as Step, values.folder as string)));
} else await main();

interface Step {
  readonly kind: "fill" | "measure";
  readonly from: number;
  readonly to: number;
  readonly tenants: number;
}

async function main(): Promise<void> {
  const backlog = await growth(numbers(values.sizes));
  const tenants = [];
  for (const count of numbers(values.tenants)) tenants.push(await freshMeasure(count));
  const result = { bench: "log-growth", bytes: BYTES, callers: CALLERS, backlog, tenants };
  const text = JSON.stringify(result, undefined, 2);
  if (values.out !== undefined) await fs.writeFile(values.out, `${text}\n`);
  if (values.json) console.log(text);
  else {
    console.table(backlog);
    console.table(tenants);
  }
}

function numbers(list: string): number[] {
  return list.split(",").map(Number);
}

async function growth(sizes: readonly number[]) {
  await using folder = await benchFolder();
  const rows = [];
  let written = 0;
  for (const backlog of sizes) {
    if (backlog > written) await run({ kind: "fill", from: written, to: backlog, tenants: 10 }, folder.path);
    const measured = await run({ kind: "measure", from: backlog, to: backlog + EVENTS, tenants: 10 }, folder.path);
    written = backlog + EVENTS;
    rows.push({ backlog, ...measured });
  }
  return rows;
}

async function freshMeasure(tenants: number) {
  await using folder = await benchFolder();
  // Warm: every tenant is known, as in a log that has run for a while.
  await run({ kind: "fill", from: 0, to: 20_000, tenants }, folder.path);
  return { tenants, ...(await run({ kind: "measure", from: 20_000, to: 20_000 + EVENTS, tenants }, folder.path)) };
}

async function run(step: Step, folder: string): Promise<object> {
  const args = [
    "--expose-gc",
    ...YOUNG_GENERATION,
    import.meta.filename,
    "--bytes",
    `${BYTES}`,
    "--step",
    JSON.stringify(step),
    "--folder",
    folder,
  ];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  const [code] = (await once(child, "close")) as [number];
  if (code !== 0) throw new Error(`step ${step.kind} ended with ${code}`);
  return JSON.parse(output) as object;
}

async function step({ kind, from, to, tenants }: Step, path: string): Promise<object> {
  const opening = performance.now();
  const log = await openEmbeddedLog({ path, clock: benchClock, logger: quiet, metrics: silent });
  const restartMs = Math.round(performance.now() - opening);
  const make = entryMaker({ bytes: BYTES, tenants, first: from });
  if (kind === "fill") {
    await fill(log, make, to - from);
    await log.close();
    return {};
  }
  const cpu = process.cpuUsage();
  const started = performance.now();
  const loop = performance.eventLoopUtilization();
  await append(log, make, to - from);
  const { active } = performance.eventLoopUtilization(loop);
  const elapsed = performance.now() - started;
  const used = process.cpuUsage(cpu);
  const { rss, heapUsed, arrayBuffers } = await memoryAtRest();
  await log.close();
  return {
    restartMs,
    eventsPerSecond: Math.round((to - from) / (elapsed / 1000)),
    mainThreadMicrosPerEvent: Number(((active * 1000) / (to - from)).toFixed(2)),
    cpuMicrosPerEvent: Number(((used.user + used.system) / (to - from)).toFixed(2)),
    rssMib: mib(rss),
    /** Of it, what is no file: LMDB's map and the program's own pages come and go with the page cache. */
    anonymousMib: mib(anonymousBytes()),
    heapUsedMib: mib(heapUsed),
    arrayBuffersMib: mib(arrayBuffers),
  };
}

/** The least over two seconds: a sidecar may just be made, and what that needed goes back to the system a little later. */
async function memoryAtRest(): Promise<NodeJS.MemoryUsage> {
  let least: NodeJS.MemoryUsage | undefined;
  for (let i = 0; i < 20; i++) {
    (globalThis as { gc?: () => void }).gc?.();
    const usage = process.memoryUsage();
    if (least === undefined || usage.rss < least.rss) least = usage;
    await benchClock.sleep(100);
  }
  return least as NodeJS.MemoryUsage;
}

function anonymousBytes(): number {
  const match = /RssAnon:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "latin1"));
  return Number(match?.[1] ?? 0) * 1024;
}

function mib(bytes: number): number {
  return Math.round(bytes / 1024 / 1024);
}

async function fill(log: EmbeddedLog, make: ReturnType<typeof entryMaker>, count: number): Promise<void> {
  for (let left = count; left > 0; left -= 2_000) await log.append(Array.from({ length: Math.min(2_000, left) }, make));
}

/** So many callers, each waiting for its acknowledgement. */
async function append(log: EmbeddedLog, make: ReturnType<typeof entryMaker>, count: number): Promise<void> {
  let left = count;
  await Promise.all(
    Array.from({ length: CALLERS }, async () => {
      while (left-- > 0) await log.append([make()]);
    }),
  );
}
