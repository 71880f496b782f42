/**
 * What it costs to keep tenants in bounds: a refusal against an accepted request, goodput and memory
 * when far more is sent than is taken, thousands of slow sockets, and ten thousand lanes that have nothing to do.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { IngestOptions } from "./ingest.ts";
import { usage } from "./lib/process.ts";
import { startPulseGate } from "./lib/pulsegate.ts";
import { median, round } from "./lib/stats.ts";
import { overload } from "./qos-overload.ts";
import { refusal } from "./qos-refusal.ts";
import { slowSockets } from "./qos-sockets.ts";

const LANES = { tenants: 157, partitions: 64 };

/** So much tells enough here, and all of it is still one run on a machine that others leave alone. */
const ROUNDS_MAX = 3;
const SECONDS_MAX = 2;

export async function qos({ rounds, seconds }: IngestOptions): Promise<unknown> {
  const options = { rounds: Math.min(ROUNDS_MAX, rounds), seconds: Math.min(SECONDS_MAX, seconds) };
  return {
    refusal: await refusal(options),
    slowSockets: await slowSockets(options),
    idleLanes: await idleLanes(options),
    // Last: it keeps this process off the gate's core from then on.
    overload: await overload(options),
  };
}

const SETTLE_MS = 5_000;
const IDLE_MS = 10_000;

/** CPU of a gate with ten thousand lanes to which nothing comes, as a part of one core. */
async function idleLanes({ rounds }: IngestOptions): Promise<unknown> {
  const { tenants, partitions } = LANES;
  const sink = `{ sinks: [{ name: file_sink, id: out, config: { path: /dev/null } }] }`;
  const yaml = Array.from({ length: tenants }, (_, n) => {
    return `  - { id: idle-${n}, partitions: ${partitions}, plugins: ${sink} }\n`;
  });
  const gate = await startPulseGate(yaml.join(""));
  try {
    await pause(SETTLE_MS);
    const shares: number[] = [];
    for (let i = 0; i < rounds; i++) {
      const before = usage(gate.pid).cpuSeconds;
      await pause(IDLE_MS);
      shares.push((usage(gate.pid).cpuSeconds - before) / (IDLE_MS / 1_000));
    }
    return { lanes: tenants * partitions, coreShare: round(median(shares)), owedCoreShareMax: 0.01 };
  } finally {
    await gate.stop();
  }
}
