/**
 * What it costs to keep tenants in bounds: a refusal against an accepted request, goodput and memory
 * when far more is sent than is taken, and ten thousand lanes that have nothing to do.
 */
import { createHash, randomBytes } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import type { IngestOptions } from "./ingest.ts";
import { eventJson } from "./lib/events.ts";
import { openLoop } from "./lib/open-loop.ts";
import { usage } from "./lib/process.ts";
import { startPulseGate, type Target } from "./lib/pulsegate.ts";
import { median, round } from "./lib/stats.ts";
import { type Load, wrk } from "./lib/wrk.ts";

const CONNECTIONS = 64;
const LARGE_BODY_BYTES = 64 * 1024;
const RATE_MIN = 100;
const OVERLOADS = [3, 10] as const;
const LANES = { tenants: 157, partitions: 64 };
const MIB = 2 ** 20;

export async function qos(options: IngestOptions): Promise<unknown> {
  return {
    refusal: await refusal(options),
    overload: await overload(options),
    idleLanes: await idleLanes(options),
  };
}

/** CPU of the gate for each answer: 429 by a quota that is used up, against 202. */
async function refusal({ rounds, seconds }: IngestOptions): Promise<unknown> {
  const key = randomBytes(32).toString("base64url");
  const sha256 = createHash("sha256").update(key).digest("hex");
  const limited = `  - id: limited
    keys: [{ id: limited, sha256: ${sha256} }]
    quota: { events_per_second: 1/s, burst: 1 }
`;
  const gate = await startPulseGate(limited);
  try {
    const load = { body: eventJson(1024), connections: CONNECTIONS, seconds, url: `${gate.url}/v1/events` };
    const samples: Array<{ accepted: number; refused: number }> = [];
    // The first round warms up.
    for (let i = 0; i <= rounds; i++) {
      const accepted = await cpuMicrosEach(gate, { ...load, headers: json(gate.headers) });
      const refused = await cpuMicrosEach(gate, { ...load, headers: json({ "X-API-Key": key }) });
      if (i > 0) samples.push({ accepted, refused });
    }
    return {
      acceptedCpuMicros: round(median(samples.map(({ accepted }) => accepted))),
      refusedCpuMicros: round(median(samples.map(({ refused }) => refused))),
      ratio: round(median(samples.map(({ accepted, refused }) => refused / accepted))),
      owedRatioMax: 0.3,
    };
  } finally {
    await gate.stop();
  }
}

async function cpuMicrosEach(gate: Target, load: Load): Promise<number> {
  const before = usage(gate.pid).cpuSeconds;
  const { answers } = await wrk(load);
  return ((usage(gate.pid).cpuSeconds - before) / answers) * 1e6;
}

/** Bodies of 64 KB: the peak, then 3 and 10 times as many a second, on 3 and 10 times as many connections, whatever is answered. */
async function overload({ rounds, seconds }: IngestOptions): Promise<unknown> {
  const gate = await startPulseGate();
  const memory = watchMemory(gate);
  try {
    const base = {
      url: `${gate.url}/v1/events`,
      body: eventJson(LARGE_BODY_BYTES),
      headers: json(gate.headers),
      seconds,
    };
    const send = async (rate: number, times: number): Promise<Sent> => {
      const { sent, failed } = await openLoop({ ...base, rate: Math.round(rate), connections: CONNECTIONS * times });
      return { offered: sent / seconds, goodput: (sent - failed) / seconds };
    };
    const samples: Sent[][] = [];
    for (let i = 0; i < rounds; i++) {
      const peak = await peakOf((rate) => send(rate, 1));
      const over: Sent[] = [];
      for (const times of OVERLOADS) over.push(await send(peak * times, times));
      samples.push([{ offered: peak, goodput: peak }, ...over]);
    }
    const of = (at: number, what: keyof Sent): number => {
      return round(median(samples.map((sample) => (sample[at] as Sent)[what] / (sample[0] as Sent).goodput)));
    };
    return {
      peakPerSecond: round(median(samples.map(([peak]) => (peak as Sent).goodput))),
      // What a generator on the same cores really sent, in times of the peak, and what of it was accepted.
      offeredAt3: of(1, "offered"),
      goodputAt3: of(1, "goodput"),
      offeredAt10: of(2, "offered"),
      goodputAt10: of(2, "goodput"),
      rssPeakMiB: round(memory.peakBytes() / MIB),
      owed: { goodputAt3: 0.95, goodputAt10: 0.9, rssPeakMiB: 512 },
    };
  } finally {
    memory.stop();
    await gate.stop();
  }
}

interface Sent {
  /** Answers per second, whatever they were. */
  readonly offered: number;
  readonly goodput: number;
}

/** The most that is accepted per second, of rates that double until a part of one is not. */
async function peakOf(send: (rate: number) => Promise<Sent>): Promise<number> {
  let best = 0;
  let misses = 0;
  // One miss may be the machine's.
  for (let rate = RATE_MIN; misses < 2; rate *= 2) {
    const { goodput } = await send(rate);
    best = Math.max(best, goodput);
    if (goodput < 0.9 * rate) misses += 1;
  }
  return best;
}

function watchMemory({ pid }: Target): { peakBytes(): number; stop(): void } {
  let peak = 0;
  const look = (): void => {
    peak = Math.max(peak, usage(pid).rssBytes);
  };
  const timer = setInterval(look, 50);
  return { peakBytes: () => peak, stop: () => clearInterval(timer) };
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

function json(headers: Readonly<Record<string, string>>): Record<string, string> {
  return { ...headers, "Content-Type": "application/json" };
}
