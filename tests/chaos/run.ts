import { parseArgs } from "node:util";
import { type ChaosOptions, runChaos } from "./chaos.ts";

/**
 * `make chaos ARGS="--seconds 600 --seed 7"`: harm for so long, then account for every event. Exit code 1 on any
 * violation. `make chaos LOG=redis`: the same with all roles over Redis, half of the time over one
 * server and half over a primary that loses its place to its replica.
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
const WORLDS = { embedded: ["embedded"], redis: ["redis", "failover"] } as const;
if (log !== "embedded" && log !== "redis") throw new Error(`no such log: ${log}; there are embedded, redis`);
const interrupted = new AbortController();
for (const name of ["SIGINT", "SIGTERM"]) process.once(name, () => interrupted.abort(new Error(`ended by ${name}`)));
let faults = 0;
for (const world of WORLDS[log]) faults += await harmed(world, Number(seconds) / WORLDS[log].length);
// At once: whatever a harmed helper may still wait for is of no interest any more.
process.exit(faults === 0 ? 0 : 1);

/** Gives the number of violations. */
async function harmed(world: ChaosOptions["log"], secondsOf: number): Promise<number> {
  say(`seed ${seed}, ${secondsOf} s, ${clients} clients, log: ${world}`);
  const report = await runChaos({
    log: world,
    seconds: secondsOf,
    seed: Number(seed),
    clients: Number(clients),
    say,
    signal: interrupted.signal,
  });
  const { requests, rows, deadLetters, harms, violations } = report;
  say(
    `${requests.sent} requests: ${requests.acked} acked, ${requests.refused} refused, ${requests.unknown} unanswered`,
  );
  say(`${rows} rows, ${deadLetters} dead letters, ${harms.length} harms`);
  for (const violation of violations.slice(0, 50)) console.error(`VIOLATION ${violation}`);
  say(violations.length === 0 ? "every event is accounted for" : `${violations.length} violations (seed ${seed})`);
  return violations.length;
}
