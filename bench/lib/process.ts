import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readdirSync } from "node:fs";
import { createInterface } from "node:readline";

export interface Started {
  readonly child: ChildProcess;
  readonly pid: number;
  /** The first line of stdout that `ready` accepted. */
  readonly line: string;
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** Starts a process and resolves at the first line of its stdout that `ready` accepts. */
export async function start(
  command: string,
  args: readonly string[],
  ready: (line: string) => boolean,
  env: NodeJS.ProcessEnv = process.env,
): Promise<Started> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"], env });
  const stop = async (signal: NodeJS.Signals = "SIGTERM") => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill(signal);
      await once(child, "exit");
    }
    return child.exitCode;
  };
  const lines = createInterface({ input: child.stdout });
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  lines.on("line", (line) => {
    if (ready(line)) resolve(line);
  });
  child.once("error", reject);
  child.once("exit", (code) =>
    reject(new Error(`${command} ${args.join(" ")} ended with ${code} before it was ready`)),
  );
  try {
    const line = await promise;
    return { child, pid: child.pid as number, line, stop };
  } catch (error) {
    await stop("SIGKILL");
    throw error;
  }
}

const TICKS_PER_SECOND = 100;

export interface Usage {
  /** User and system time of the process so far, seconds. */
  readonly cpuSeconds: number;
  readonly rssBytes: number;
}

/** What the kernel has accounted to a process (all threads). */
export function usage(pid: number): Usage {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const cpuTicks = Number(fields[11]) + Number(fields[12]);
  const rss = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "latin1"));
  return { cpuSeconds: cpuTicks / TICKS_PER_SECOND, rssBytes: Number(rss?.[1] ?? 0) * 1024 };
}

/** A process and all below it: what a server with a process for each connection costs. */
export function treeCpuSeconds(pid: number): number {
  const parents = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const parent = parentOf(Number(name));
    if (parent !== undefined) parents.set(parent, [...(parents.get(parent) ?? []), Number(name)]);
  }
  let total = 0;
  const queue = [pid];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    try {
      total += usage(next).cpuSeconds;
    } catch {
      // It ended between the listing and the look.
    }
    queue.push(...(parents.get(next) ?? []));
  }
  return total;
}

function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    return undefined;
  }
}
