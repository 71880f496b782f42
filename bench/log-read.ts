import { once } from "node:events";
import fs from "node:fs/promises";
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { attachEmbeddedLog, type EmbeddedLogHandle, openEmbeddedLog } from "../drivers/embedded/index.ts";
import { benchClock, benchFolder, entryMaker, quiet, silent } from "./log-tools.ts";

/** Reading a backlog in a worker thread, stream by stream, as lanes that catch up do: time per event for few and many tenants. */
const { values } = parseArgs({
  options: {
    tenants: { type: "string", default: "1,100,10000" },
    events: { type: "string", default: "600000" },
    bytes: { type: "string", default: "250" },
    json: { type: "boolean", default: false },
    out: { type: "string" },
    help: { type: "boolean", default: false },
  },
  args: isMainThread ? undefined : [],
});

interface Task {
  readonly handle: EmbeddedLogHandle;
  readonly tenants: number;
}

if (!isMainThread) parentPort?.postMessage(await readAll(workerData as Task));
else if (values.help)
  console.log("node bench/log-read.ts [--tenants 1,100,10000] [--events 600000] [--bytes 250] [--json] [--out FILE]");
else await main();

async function main(): Promise<void> {
  const rows = [];
  for (const tenants of values.tenants.split(",").map(Number)) rows.push({ tenants, ...(await measure(tenants)) });
  const result = { bench: "log-read", events: Number(values.events), bytes: Number(values.bytes), rows };
  if (values.out !== undefined) await fs.writeFile(values.out, `${JSON.stringify(result, undefined, 2)}\n`);
  if (values.json) console.log(JSON.stringify(result, undefined, 2));
  else console.table(rows);
}

async function measure(tenants: number): Promise<object> {
  await using folder = await benchFolder();
  const log = await openEmbeddedLog({ path: folder.path, clock: benchClock, logger: quiet, metrics: silent });
  const make = entryMaker({ bytes: Number(values.bytes), tenants });
  for (let left = Number(values.events); left > 0; left -= 2_000) await log.append(Array.from({ length: 2_000 }, make));
  const thread = new Worker(import.meta.filename, {
    workerData: { handle: log.handle({ index: 0, count: 1 }), tenants } satisfies Task,
  });
  const [result] = (await once(thread, "message")) as [object];
  await once(thread, "exit");
  await log.close();
  return result;
}

/** Lanes take turns, each reading up to 200 events a turn. */
async function readAll({ handle, tenants }: Task): Promise<object> {
  const attaching = performance.now();
  const log = await attachEmbeddedLog(handle);
  const attachMs = performance.now() - attaching;
  const next = new Array<number>(tenants).fill(0);
  let events = 0;
  let isDone = false;
  const started = performance.now();
  const cpu = process.threadCpuUsage();
  while (!isDone) {
    isDone = true;
    for (let i = 0; i < tenants; i++) {
      const from = next[i] as number;
      const entries = await log.read({ tenantId: `tenant_${i}`, partition: 0 }, from, { entries: 200, bytes: 1 << 20 });
      if (entries.length === 0) continue;
      isDone = false;
      next[i] = from + entries.length;
      events += entries.length;
    }
  }
  const elapsed = performance.now() - started;
  const used = process.threadCpuUsage(cpu);
  await log.close();
  return {
    attachMs: Math.round(attachMs),
    events,
    eventsPerSecond: Math.round(events / (elapsed / 1000)),
    cpuMicrosPerEvent: Number(((used.user + used.system) / events).toFixed(2)),
  };
}
