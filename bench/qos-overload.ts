import { execFileSync } from "node:child_process";
import { availableParallelism } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import type { IngestOptions } from "./ingest.ts";
import { eventJson } from "./lib/events.ts";
import { usage } from "./lib/process.ts";
import { startPulseGate, type Target } from "./lib/pulsegate.ts";
import { median, round } from "./lib/stats.ts";
import { wrk } from "./lib/wrk.ts";

const CONNECTIONS = 64;
const LIGHT_CONNECTIONS = 4;
const BODY_BYTES = 64 * 1024;
const OVERLOADS = [3, 10] as const;
/** Looked at apart from the beginning and the end: what is under way when the generator stops is no loss. */
const SECONDS = 4;
const EDGE_SECONDS = 1;
const RECOVERY_MS = 5_000;
const MIB = 2 ** 20;

interface Seen {
  /** Requests answered in a second, refused or not. */
  readonly answered: number;
  /** Events stored in a second. */
  readonly goodput: number;
  readonly p99Ms: number;
}

/**
 * Bodies of 64 KB on as many connections as give the peak, then on 3 and 10 times as many, each of which sends
 * again as soon as it is answered, refused or not. The gate has one core and the generator the other: else the
 * generator of an overload takes the time with which the gate would answer it. The peak is the best that a round
 * saw: under how many connections that is, is the machine's matter.
 */
export async function overload({ rounds }: Pick<IngestOptions, "rounds">): Promise<unknown> {
  const gate = await startPulseGate();
  const apart = pinApart(gate);
  const memory = watchMemory(gate);
  try {
    const headers = { ...gate.headers, "Content-Type": "application/json" };
    const load = { url: `${gate.url}/v1/events`, body: eventJson(BODY_BYTES), headers };
    const send = async (connections: number): Promise<Seen> => {
      const running = wrk({ ...load, connections, seconds: SECONDS + 2 * EDGE_SECONDS });
      await pause(EDGE_SECONDS * 1_000);
      const from = await counted(gate);
      await pause(SECONDS * 1_000);
      const to = await counted(gate);
      const perSecond = (what: "answered" | "stored"): number =>
        (to[what] - from[what]) / ((to.atMs - from.atMs) / 1_000);
      return { answered: perSecond("answered"), goodput: perSecond("stored"), p99Ms: (await running).p99Ms };
    };
    await send(CONNECTIONS);
    const samples: Array<{ before: Seen; peak: number; over: Seen[]; after: Seen }> = [];
    for (let i = 0; i < rounds; i++) {
      const before = await send(LIGHT_CONNECTIONS);
      const few = await send(CONNECTIONS);
      const over: Seen[] = [];
      for (const times of OVERLOADS) over.push(await send(CONNECTIONS * times));
      const peak = Math.max(few.goodput, ...over.map(({ goodput }) => goodput));
      await pause(RECOVERY_MS);
      samples.push({ before, peak, over, after: await send(LIGHT_CONNECTIONS) });
    }
    const of = (what: (sample: (typeof samples)[number]) => number): number => round(median(samples.map(what)));
    return {
      gateAndGeneratorOnCoresOfTheirOwn: apart,
      peakPerSecond: of(({ peak }) => peak),
      overloads: OVERLOADS.map((times, at) => ({
        connections: CONNECTIONS * times,
        // In times of the peak, too: the rest was refused.
        answered: of(({ peak, over }) => (over[at] as Seen).answered / peak),
        goodput: of(({ peak, over }) => (over[at] as Seen).goodput / peak),
      })),
      lightP99Ms: of(({ before }) => before.p99Ms),
      lightP99MsAfterFiveSeconds: of(({ after }) => after.p99Ms),
      rssPeakMiB: round(memory.peakBytes() / MIB),
      owed: { goodput: { "3": 0.95, "10": 0.9 }, rssPeakMiB: 512 },
    };
  } finally {
    memory.stop();
    await gate.stop();
  }
}

/** By the gate's own counters. */
async function counted({ opsUrl }: Target): Promise<{ atMs: number; answered: number; stored: number }> {
  const text = await (await fetch(`${opsUrl}/metrics`)).text();
  const sum = (series: RegExp): number =>
    [...text.matchAll(series)].reduce((total, [, value]) => total + Number(value), 0);
  return {
    atMs: performance.now(),
    answered: sum(/^pulsegate_ingest_requests_total\{.*\} (\d+)$/gm),
    stored: sum(/^pulsegate_ingest_events_total\{.*code="accepted".*\} (\d+)$/gm),
  };
}

/** All threads of the gate on the first core, this process and what it starts from here on on the others; false where that can't be done. */
function pinApart({ pid }: Target): boolean {
  const cores = availableParallelism();
  if (cores < 2) return false;
  try {
    execFileSync("taskset", ["--all-tasks", "--cpu-list", "--pid", "0", String(pid)], { stdio: "ignore" });
    execFileSync("taskset", ["--all-tasks", "--cpu-list", "--pid", `1-${cores - 1}`, String(process.pid)], {
      stdio: "ignore",
    });
    return true;
  } catch {
    return false;
  }
}

function watchMemory({ pid }: Target): { peakBytes(): number; stop(): void } {
  let peak = 0;
  const look = (): void => {
    peak = Math.max(peak, usage(pid).rssBytes);
  };
  const timer = setInterval(look, 50);
  return { peakBytes: () => peak, stop: () => clearInterval(timer) };
}
