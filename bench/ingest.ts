/**
 * The front door: how fast events are taken, each durable before its ack, beside a bare node:http
 * echo under the same load in the same run.
 */
import { execFile } from "node:child_process";
import { tmpdir } from "node:os";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { eventJson, ndjson } from "./lib/events.ts";
import { type Target, startEcho, startPulseGate } from "./lib/pulsegate.ts";
import { machineUsage, type Started, usage } from "./lib/process.ts";
import { round, spread } from "./lib/stats.ts";
import { syncTime } from "./lib/sync-time.ts";
import { type LoadResult, wrk } from "./lib/wrk.ts";

const LINES = 100;
const LINE_BYTES = 250;

interface Sample extends LoadResult {
  readonly cpuMicrosPerAnswer: number;
  /** Of the servers that do a part of the work: Redis. */
  readonly helperCpuMicrosPerAnswer: number;
  readonly rssMiB: number;
  /** Of the machine's CPU time, the part that neither the server nor the client used: where it is large, the rate says little. */
  readonly othersShare: number;
}

export interface IngestOptions {
  readonly rounds: number;
  readonly seconds: number;
  /** Those of its parts that run; all where there are none. Some benches have no parts. */
  readonly parts?: readonly string[] | undefined;
}

export async function ingest({ rounds, seconds }: IngestOptions): Promise<unknown> {
  const echo = await startEcho();
  const gate = await startPulseGate();
  try {
    const results: Record<string, unknown> = {
      durability: "fsync before the ack (O_DSYNC)",
      sync16KiB: syncTime(tmpdir()),
    };
    for (const connections of [64, 256]) {
      results[`post1KB_${connections}`] = await post(echo, gate, { connections, rounds, seconds });
    }
    results["ndjson"] = await batches(gate, { rounds, seconds });
    return results;
  } finally {
    await gate.stop();
    await echo.stop();
  }
}

/** Single events beside the echo, round by round. */
export async function post(
  echo: Started & { url: string },
  gate: Pick<Target, "url" | "pid" | "headers"> & { readonly helperPids?: readonly number[] | undefined },
  { connections, rounds, seconds }: IngestOptions & { connections: number },
): Promise<unknown> {
  const load = { body: eventJson(1024), connections, seconds };
  const echoLoad = { ...load, url: echo.url, headers: { "Content-Type": "application/json" } };
  const gateLoad = {
    ...load,
    url: `${gate.url}/v1/events`,
    headers: { ...gate.headers, "Content-Type": "application/json" },
  };
  const samples: Array<{ echo: Sample; gate: Sample }> = [];
  await wrk({ ...echoLoad, seconds: 1 });
  await wrk({ ...gateLoad, seconds: 2 });
  for (let i = 0; i < rounds; i++) {
    const { pid, helperPids } = gate;
    samples.push({ echo: await measured(echo.pid, echoLoad), gate: await measured(pid, gateLoad, helperPids) });
  }
  return summary(samples);
}

/** `helperPids`: of servers that do a part of the work. */
async function measured(
  pid: number,
  load: Parameters<typeof wrk>[0],
  helperPids: readonly number[] = [],
): Promise<Sample> {
  const helpers = (): number => helperPids.reduce((sum, helper) => sum + usage(helper).cpuSeconds, 0);
  const before = { ...usage(pid), ...machineUsage(), helperSeconds: helpers() };
  const result = await wrk(load);
  const after = { ...usage(pid), ...machineUsage(), helperSeconds: helpers() };
  const spent = (of: "cpuSeconds" | "totalSeconds" | "usedSeconds" | "ownSeconds" | "helperSeconds") =>
    after[of] - before[of];
  const others = spent("usedSeconds") - spent("cpuSeconds") - spent("helperSeconds") - spent("ownSeconds");
  if (result.failures > 0) throw new Error(`${result.failures} of ${result.answers} requests to ${load.url} failed`);
  return {
    ...result,
    cpuMicrosPerAnswer: (spent("cpuSeconds") * 1e6) / result.answers,
    rssMiB: after.rssBytes / 2 ** 20,
    helperCpuMicrosPerAnswer: (spent("helperSeconds") * 1e6) / result.answers,
    othersShare: Math.max(0, others) / spent("totalSeconds"),
  };
}

function summary(samples: ReadonlyArray<{ echo: Sample; gate: Sample }>): unknown {
  const of = (side: "echo" | "gate", key: keyof Sample) => round(spread(samples.map((s) => s[side][key])).median);
  const ratios = spread(samples.map((sample) => sample.gate.rate / sample.echo.rate));
  return {
    ratio: { median: round(ratios.median), min: round(ratios.min), max: round(ratios.max) },
    ...Object.fromEntries(
      (["gate", "echo"] as const).map((side) => [
        side,
        {
          perSecond: of(side, "rate"),
          p50Ms: of(side, "p50Ms"),
          p99Ms: of(side, "p99Ms"),
          cpuMicrosEach: of(side, "cpuMicrosPerAnswer"),
          helperCpuMicrosEach: of(side, "helperCpuMicrosPerAnswer"),
          rssMiB: of(side, "rssMiB"),
          othersShare: of(side, "othersShare"),
        },
      ]),
    ),
  };
}

/** NDJSON batches beside a loop that does nothing but parse the same lines. */
async function batches(gate: Target, { rounds, seconds }: IngestOptions): Promise<unknown> {
  const body = ndjson(LINES, LINE_BYTES);
  const headers = { ...gate.headers, "Content-Type": "application/x-ndjson" };
  const load = { url: `${gate.url}/v1/events/batch`, body, headers, connections: 16, seconds };
  await wrk({ ...load, seconds: 2 });
  const samples: Array<{ parse: number; gate: Sample }> = [];
  for (let i = 0; i < rounds; i++) {
    samples.push({ parse: await parseOnly(seconds), gate: await measured(gate.pid, load) });
  }
  const ratios = spread(samples.map((sample) => (sample.gate.rate * LINES) / sample.parse));
  return {
    ratio: { median: round(ratios.median), min: round(ratios.min), max: round(ratios.max) },
    eventsPerSecond: round(spread(samples.map((sample) => sample.gate.rate * LINES)).median),
    parseOnlyPerSecond: round(spread(samples.map((sample) => sample.parse)).median),
    cpuMicrosPerEvent: round(spread(samples.map((sample) => sample.gate.cpuMicrosPerAnswer / LINES)).median),
    p99Ms: round(spread(samples.map((sample) => sample.gate.p99Ms)).median),
    othersShare: round(spread(samples.map((sample) => sample.gate.othersShare)).median),
  };
}

async function parseOnly(seconds: number): Promise<number> {
  const script = resolve(import.meta.dirname, "parse-only.ts");
  const child = promisify(execFile)(process.execPath, [script, String(LINES), String(LINE_BYTES), String(seconds)]);
  const { stdout } = await child;
  return Number(stdout);
}
