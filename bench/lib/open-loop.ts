import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

export interface OpenLoad {
  readonly url: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Requests per second, sent on schedule whether or not answers come. */
  readonly rate: number;
  readonly seconds: number;
}

const CONNECTIONS = 64;

export interface OpenResult {
  readonly generator: string;
  readonly sent: number;
  readonly failed: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export type OnSchedule = Omit<OpenResult, "generator">;

/**
 * Open-loop load by a generator of our own that takes less of the machine than general ones do: for rates at which
 * those would keep both cores busy and measure themselves.
 */
export async function onSchedule(load: OpenLoad): Promise<OnSchedule> {
  const args = [
    resolve(import.meta.dirname, "../on-schedule.ts"),
    JSON.stringify({ ...load, connections: CONNECTIONS }),
  ];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout) as OnSchedule;
}

/** Open-loop load: by vegeta where it is on the PATH, else by autocannon, which corrects for what it could not send in time. */
export async function openLoop(load: OpenLoad): Promise<OpenResult> {
  const found = await promisify(execFile)("vegeta", ["-version"]).catch(() => undefined);
  return found === undefined ? byAutocannon(load) : byVegeta(load);
}

async function byVegeta(load: OpenLoad): Promise<OpenResult> {
  const dir = await mkdtemp(join(tmpdir(), "open-loop-"));
  try {
    await writeFile(join(dir, "body"), load.body);
    await writeFile(join(dir, "targets"), `POST ${load.url}\n@${join(dir, "body")}\n`);
    const headers = Object.entries(load.headers).map(([name, value]) => `-header=${name}: ${value}`);
    const results = join(dir, "results");
    const attack = spawn(
      "vegeta",
      [
        "attack",
        "-targets",
        join(dir, "targets"),
        `-rate=${load.rate}/s`,
        `-duration=${load.seconds}s`,
        `-output=${results}`,
        ...headers,
      ],
      { stdio: "inherit" },
    );
    await once(attack, "exit");
    const { stdout } = await promisify(execFile)("vegeta", ["report", "-type=json", results]);
    const report = JSON.parse(stdout) as {
      requests: number;
      status_codes: Record<string, number>;
      latencies: Record<"50th" | "99th" | "max", number>;
    };
    return {
      generator: "vegeta",
      sent: report.requests,
      failed: report.requests - (report.status_codes["202"] ?? 0),
      p50Ms: report.latencies["50th"] / 1e6,
      p99Ms: report.latencies["99th"] / 1e6,
      maxMs: report.latencies.max / 1e6,
    };
  } finally {
    await rm(dir, { recursive: true });
  }
}

async function byAutocannon(load: OpenLoad): Promise<OpenResult> {
  const { default: autocannon } = await import("autocannon");
  const result = await autocannon({
    url: load.url,
    method: "POST",
    body: load.body,
    headers: { ...load.headers },
    connections: CONNECTIONS,
    overallRate: load.rate,
    duration: load.seconds,
  });
  return {
    generator: "autocannon",
    sent: result.requests.total,
    failed: result.non2xx + result.errors,
    p50Ms: result.latency.p50,
    p99Ms: result.latency.p99,
    maxMs: result.latency.max,
  };
}
