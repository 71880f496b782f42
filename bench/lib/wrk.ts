import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

export interface LoadResult {
  /** Answers per second. */
  readonly rate: number;
  readonly answers: number;
  /** Answers that were not 2xx, and socket errors. */
  readonly failures: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface Load {
  readonly url: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly connections: number;
  readonly seconds: number;
}

/** Closed-loop load from a process of its own: each connection sends again as soon as it has its answer. */
export async function wrk(load: Load): Promise<LoadResult> {
  const dir = await mkdtemp(join(tmpdir(), "wrk-"));
  try {
    const script = join(dir, "post.lua");
    await writeFile(join(dir, "body"), load.body);
    await writeFile(script, luaScript(join(dir, "body"), load.headers));
    const args = ["-t1", `-c${load.connections}`, `-d${load.seconds}s`, "--timeout", "30s", "-s", script, load.url];
    const { stdout } = await promisify(execFile)("wrk", args);
    return parse(stdout);
  } finally {
    await rm(dir, { recursive: true });
  }
}

function luaScript(bodyFile: string, headers: Readonly<Record<string, string>>): string {
  const headerLines = Object.entries(headers).map(([name, value]) => `wrk.headers[${quote(name)}] = ${quote(value)}`);
  return `
wrk.method = "POST"
local file = io.open(${quote(bodyFile)}, "rb")
wrk.body = file:read("*a")
file:close()
${headerLines.join("\n")}
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d %f %f\\n", summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
`;
}

function quote(text: string): string {
  return `"${text.replace(/[\\"]/g, "\\$&")}"`;
}

function parse(stdout: string): LoadResult {
  const line = /^RESULT (\d+) (\d+) (\d+) (\S+) (\S+)$/m.exec(stdout);
  if (line === null) throw new Error(`wrk gave no result:\n${stdout}`);
  const [answers, micros, failures, p50Ms, p99Ms] = line.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
  ];
  return { rate: answers / (micros / 1e6), answers, failures, p50Ms, p99Ms };
}
