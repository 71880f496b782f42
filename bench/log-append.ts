import fs from "node:fs/promises";
import { parseArgs } from "node:util";
import { openEmbeddedLog } from "../drivers/embedded/index.ts";
import { benchClock, benchFolder, entryMaker, quiet, silent } from "./log-tools.ts";

/**
 * Durable appends: events per second and CPU per event with so many callers, each of which waits for
 * its acknowledgement before it sends the next event. `node bench/log-append.ts --help` for options.
 */
const { values } = parseArgs({
  options: {
    callers: { type: "string", default: "64" },
    bytes: { type: "string", default: "1024" },
    tenants: { type: "string", default: "1" },
    seconds: { type: "string", default: "5" },
    rounds: { type: "string", default: "3" },
    json: { type: "boolean", default: false },
    out: { type: "string" },
    help: { type: "boolean", default: false },
  },
});

if (values.help) {
  console.log(
    "node bench/log-append.ts [--callers 64] [--bytes 1024] [--tenants 1] [--seconds 5] [--rounds 3] [--json] [--out FILE]",
  );
} else await main();

async function main(): Promise<void> {
  const setup = {
    callers: Number(values.callers),
    bytes: Number(values.bytes),
    tenants: Number(values.tenants),
    seconds: Number(values.seconds),
  };
  const rounds = [];
  for (let i = 0; i < Number(values.rounds); i++) rounds.push(await round(setup));
  const sorted = rounds.toSorted((a, b) => a.eventsPerSecond - b.eventsPerSecond);
  const result = { bench: "log-append", ...setup, median: sorted[Math.floor(sorted.length / 2)], rounds };
  const text = JSON.stringify(result, undefined, 2);
  if (values.out !== undefined) await fs.writeFile(values.out, `${text}\n`);
  if (values.json) console.log(text);
  else console.log(result.median);
}

async function round({
  callers,
  bytes,
  tenants,
  seconds,
}: {
  callers: number;
  bytes: number;
  tenants: number;
  seconds: number;
}) {
  await using folder = await benchFolder();
  let commits = 0;
  let syncSeconds = 0;
  const metrics = {
    ...silent,
    commit: (commit: { syncSeconds: number }) => {
      commits++;
      syncSeconds += commit.syncSeconds;
    },
  };
  const log = await openEmbeddedLog({ path: folder.path, clock: benchClock, logger: quiet, metrics });
  const make = entryMaker({ bytes, tenants });
  let events = 0;
  const started = performance.now();
  const end = started + seconds * 1000;
  const cpu = process.cpuUsage();
  const loop = performance.eventLoopUtilization();
  await Promise.all(
    Array.from({ length: callers }, async () => {
      while (performance.now() < end) {
        await log.append([make()]);
        events++;
      }
    }),
  );
  const elapsed = (performance.now() - started) / 1000;
  const used = process.cpuUsage(cpu);
  const { active } = performance.eventLoopUtilization(loop);
  await log.close();
  return {
    eventsPerSecond: Math.round(events / elapsed),
    mainThreadMicrosPerEvent: Number(((active * 1000) / events).toFixed(2)),
    cpuMicrosPerEvent: Number(((used.user + used.system) / events).toFixed(2)),
    eventsPerCommit: Number((events / commits).toFixed(1)),
    syncMillis: Number(((syncSeconds * 1000) / commits).toFixed(3)),
  };
}
