import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { readRuntimeFile } from "../../app/runtime-file.ts";

const BIN = resolve(import.meta.dirname, "../../bin/pulsegate.mjs");
const READY_MS_MAX = 60_000;
const STOP_MS_MAX = 20_000;
const POLL_MS = 20;
/** Enough of the process's last words to see why it ended. */
const OUTPUT_CHARS_MAX = 8_000;

export interface GateOptions {
  readonly dataDir: string;
  readonly configFile: string;
  readonly databaseUrl: string;
}

/** The real product: `pulsegate dev` in a process group of its own, killed and started again on the same data and ports. */
export class Gate {
  readonly #options: GateOptions & { readonly port: number; readonly opsPort: number };
  #child: ChildProcess | undefined;
  #output = "";
  /** Ends that nobody asked for. */
  readonly faults: string[] = [];

  constructor(options: GateOptions & { readonly port: number; readonly opsPort: number }) {
    this.#options = options;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#options.port}`;
  }

  /** Resolves when it is ready for events; rejects with its last words if it ends before. */
  async start(): Promise<void> {
    const { dataDir, configFile, databaseUrl, port, opsPort } = this.#options;
    this.#output = "";
    const args = ["dev", "--config", configFile, "--data", dataDir, "--database-url", databaseUrl];
    const ports = ["--port", String(port), "--ops-port", String(opsPort)];
    const child = spawn(process.execPath, [BIN, ...args, ...ports], {
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => this.#note(String(text)));
    child.once("exit", (code, signal) => {
      if (this.#child !== child) return;
      this.#child = undefined;
      this.faults.push(`it ended by itself (${code ?? signal}): ${this.#output.slice(-1_000)}`);
    });
    await this.#ready(child);
  }

  #note(text: string): void {
    this.#output = (this.#output + text).slice(-OUTPUT_CHARS_MAX);
  }

  async #ready(child: ChildProcess): Promise<void> {
    for (const until = performance.now() + READY_MS_MAX; performance.now() < until; await sleep(POLL_MS)) {
      if (this.#child !== child) throw new Error(`PulseGate ended before it was ready:\n${this.#output}`);
      const runtime = await readRuntimeFile(this.#options.dataDir).catch(() => undefined);
      if (runtime?.pid === child.pid) return;
    }
    throw new Error(`PulseGate was not ready within ${READY_MS_MAX} ms:\n${this.#output}`);
  }

  /** SIGKILL to every process of the group. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** SIGTERM; it must drain and end with 0. */
  async terminate(): Promise<void> {
    const code = await this.#end("SIGTERM");
    if (code !== 0) this.faults.push(`it ended with ${code} after SIGTERM: ${this.#output.slice(-1_000)}`);
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

  /** A document of the admin API. */
  async admin<T>(path: string): Promise<T> {
    const runtime = await readRuntimeFile(this.#options.dataDir);
    if (runtime === undefined) throw new Error(`PulseGate does not run: ${this.faults.join("; ")}`);
    const headers = { authorization: `Bearer ${runtime.adminToken}` };
    const response = await fetch(`${runtime.opsUrl}/admin/v1/${path}`, { headers });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  }
}

/** A gate with ports of its own, not started yet. */
export async function createGate(options: GateOptions): Promise<Gate> {
  const [port, opsPort] = await freePorts();
  return new Gate({ ...options, port, opsPort });
}

/** Fixed for the whole run, so that clients find a restarted process at the same place. */
async function freePorts(): Promise<[number, number]> {
  const servers = [createServer(), createServer()];
  for (const server of servers) await once(server.listen(0, "127.0.0.1"), "listening");
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  for (const server of servers) await once(server.close(), "close");
  return ports as [number, number];
}

export function configIn(folder: string): string {
  return join(folder, "pulsegate.yaml");
}
