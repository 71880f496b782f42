import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const BIN = resolve(import.meta.dirname, "../../bin/pulsegate.mjs");
const READY_MS_MAX = 60_000;
const STOP_MS_MAX = 20_000;
const POLL_MS = 20;
/** Enough of the process's last words to see why it ended. */
const OUTPUT_CHARS_MAX = 8_000;

export interface VictimOptions {
  /** What it is called where faults are told. */
  readonly name: string;
  /** Of `pulsegate`. */
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Whether it has told that it is ready. */
  readonly isReady: (process: { readonly pid: number; readonly output: string }) => boolean | Promise<boolean>;
}

/** One process of the product, in a process group of its own: killed, stopped and frozen, and started again. */
export class Victim {
  readonly #options: VictimOptions;
  #child: ChildProcess | undefined;
  #output = "";
  /** Ends that nobody asked for. */
  readonly faults: string[] = [];

  constructor(options: VictimOptions) {
    this.#options = options;
  }

  /** Resolves when it is ready; rejects with its last words if it ends before. */
  async start(): Promise<void> {
    const { name, args, env } = this.#options;
    this.#output = "";
    const child = spawn(process.execPath, [BIN, ...args], {
      env: { ...process.env, ...env },
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => this.#note(String(text)));
    child.once("exit", (code, signal) => {
      if (this.#child !== child) return;
      this.#child = undefined;
      this.faults.push(`${name} ended by itself (${code ?? signal}): ${this.#output.slice(-1_000)}`);
    });
    await this.#ready(child);
  }

  #note(text: string): void {
    this.#output = (this.#output + text).slice(-OUTPUT_CHARS_MAX);
  }

  async #ready(child: ChildProcess): Promise<void> {
    const { name, isReady } = this.#options;
    for (const until = performance.now() + READY_MS_MAX; performance.now() < until; await sleep(POLL_MS)) {
      if (this.#child !== child) throw new Error(`${name} ended before it was ready:\n${this.#output}`);
      if (await isReady({ pid: child.pid as number, output: this.#output })) return;
    }
    throw new Error(`${name} was not ready within ${READY_MS_MAX} ms:\n${this.#output}`);
  }

  /** SIGKILL to every process of the group. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** SIGTERM; it must drain and end with 0. */
  async terminate(): Promise<void> {
    const code = await this.#end("SIGTERM");
    if (code === 0) return;
    this.faults.push(`${this.#options.name} ended with ${code} after SIGTERM: ${this.#output.slice(-1_000)}`);
  }

  /** Stops it where it stands, or lets it go on. */
  freeze(frozen: boolean): void {
    const pid = this.#child?.pid;
    if (pid !== undefined) process.kill(-pid, frozen ? "SIGSTOP" : "SIGCONT");
  }

  async #end(signal: "SIGKILL" | "SIGTERM"): Promise<number | null> {
    const child = this.#child;
    if (child?.pid === undefined) return null;
    this.#child = undefined;
    const exited = once(child, "exit");
    process.kill(-child.pid, signal);
    const late = setTimeout(() => process.kill(-(child.pid as number), "SIGKILL"), STOP_MS_MAX);
    const [code] = (await exited) as [number | null];
    clearTimeout(late);
    return code;
  }
}

/** A document of the admin API. */
export async function adminDocument<T>(opsUrl: string, token: string, path: string): Promise<T> {
  const response = await fetch(`${opsUrl}/admin/v1/${path}`, { headers: { authorization: `Bearer ${token}` } });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}
