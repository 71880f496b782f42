import { parseArgs } from "node:util";
import { runChaos } from "./chaos.ts";

/**
 * `make chaos ARGS="--seconds 600 --seed 7"`: harm for so long, then account for every event. Exit code 1 on any
 * violation. `make chaos LOG=redis`: the same with all roles over Redis.
 */
const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "120" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    clients: { type: "string", default: "8" },
    log: { type: "string", default: "embedded" },
  },
});
const startedAt = performance.now();
const say = (line: string) =>
  console.log(`${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(7)} s  ${line}`);
const { seconds, seed, clients, log } = values;
if (log !== "embedded" && log !== "redis") throw new Error(`no such log: ${log}; there are embedded, redis`);
say(`seed ${seed}, ${seconds} s, ${clients} clients, log: ${log}`);
const interrupted = new AbortController();
for (const name of ["SIGINT", "SIGTERM"]) process.once(name, () => interrupted.abort(new Error(`ended by ${name}`)));
const report = await runChaos({
  log,
  seconds: Number(seconds),
  seed: Number(seed),
  clients: Number(clients),
  say,
  signal: interrupted.signal,
});
const { requests, rows, deadLetters, harms, violations } = report;
say(`${requests.sent} requests: ${requests.acked} acked, ${requests.refused} refused, ${requests.unknown} unanswered`);
say(`${rows} rows, ${deadLetters} dead letters, ${harms.length} harms`);
for (const violation of violations.slice(0, 50)) console.error(`VIOLATION ${violation}`);
say(violations.length === 0 ? "every event is accounted for" : `${violations.length} violations (seed ${seed})`);
// At once: whatever a harmed helper may still wait for is of no interest any more.
process.exit(violations.length === 0 ? 0 : 1);
