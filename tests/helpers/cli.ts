import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { onTestFinished } from "vitest";

const BIN = resolve(import.meta.dirname, "../../bin/pulsegate.mjs");

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  /** A program with its arguments that runs the command. */
  readonly wrapper?: readonly string[];
}

/** Runs `pulsegate …` to its end. */
export async function pulsegate(args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const running = spawnPulsegate(args, options);
  running.child.stdin?.end(options.input ?? "");
  return running.finished;
}

export interface Running {
  readonly child: ChildProcess;
  readonly finished: Promise<Finished>;
  /** Resolves when stdout and stderr together match; rejects when the process ends before. */
  output(pattern: RegExp): Promise<RegExpExecArray>;
  /** To the whole process group, as a terminal's Ctrl-C does. */
  signalGroup(signal: NodeJS.Signals): void;
}

/** Starts `pulsegate …` as leader of its own process group; the group is killed when the test ends, however it ends. */
export function spawnPulsegate(args: readonly string[], options: RunOptions = {}): Running {
  const [program, ...rest] = [...(options.wrapper ?? []), process.execPath, BIN, ...args];
  const child = spawn(program as string, rest, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    detached: true,
    stdio: ["pipe", "pipe", "pipe"],
  });
  const text = { stdout: "", stderr: "" };
  const listeners = new Set<() => void>();
  for (const name of ["stdout", "stderr"] as const) {
    child[name].on("data", (chunk: Buffer) => {
      text[name] += chunk.toString();
      for (const listener of listeners) listener();
    });
  }
  const finished = once(child, "close").then(([code]) => {
    for (const listener of listeners) listener();
    return { code: code as number | null, ...text };
  });
  const signalGroup = (signal: NodeJS.Signals) => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null)
      process.kill(-child.pid, signal);
  };
  onTestFinished(async () => {
    signalGroup("SIGKILL");
    await finished;
  });
  const output = (pattern: RegExp) => {
    const { promise, resolve: found, reject } = Promise.withResolvers<RegExpExecArray>();
    const look = () => {
      const match = pattern.exec(text.stdout + text.stderr);
      if (match !== null) found(match);
      else if (child.exitCode !== null || child.signalCode !== null) {
        reject(new Error(`pulsegate ended (${child.exitCode}) before ${pattern}:\n${text.stdout}${text.stderr}`));
      } else return;
      listeners.delete(look);
    };
    listeners.add(look);
    look();
    return promise;
  };
  return { child, finished, output, signalGroup };
}
