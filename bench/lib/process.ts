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

export interface MachineUsage {
  /** Of all cores since the machine started, idle time included. */
  readonly totalSeconds: number;
  readonly usedSeconds: number;
  /** Of this process and of the children that have ended. */
  readonly ownSeconds: number;
}

/** What tells how much of the machine others used while a figure was taken. */
export function machineUsage(): MachineUsage {
  const [line = ""] = readFileSync("/proc/stat", "latin1").split("\n", 1);
  const ticks = line.trim().split(/\s+/).slice(1, 9).map(Number);
  const total = ticks.reduce((sum, n) => sum + n, 0);
  const [idle = 0, waiting = 0] = ticks.slice(3, 5);
  const own = readFileSync("/proc/self/stat", "latin1");
  const ownTicks = own
    .slice(own.lastIndexOf(")") + 2)
    .split(" ")
    .slice(11, 15)
    .reduce((sum, n) => sum + Number(n), 0);
  return {
    totalSeconds: total / TICKS_PER_SECOND,
    usedSeconds: (total - idle - waiting) / TICKS_PER_SECOND,
    ownSeconds: ownTicks / TICKS_PER_SECOND,
  };
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
