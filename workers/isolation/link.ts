import { type ChildProcess, fork } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { setPriority } from "node:os";
import type { Readable } from "node:stream";
import { Worker } from "node:worker_threads";
import type { Isolation } from "../../core/ingestion/revision.ts";
import { foreignEnvironment } from "../../plugins/loading/foreign-environment.ts";
import type { Order, Report } from "./messages.ts";

const MIB = 1024 * 1024;
/** A third of the share of PulseGate's own threads when cores are short. */
const PRIORITY = 5;
/** The kernel's unit for the time of processes. */
const TICK_MS = 10;
/** Of what comes in one piece. */
const TEXT_BYTES_MAX = 2_000;

/** The owner's end of one isolate. */
export interface Link {
  tell(order: Order): void;
  /** Memory in use, where the system tells; threads have none of their own. */
  rssBytes(): number | undefined;
  /** How busy it is, where the system tells. */
  load(): Load | undefined;
  /** Ends it at once; `onEnd` still tells. */
  kill(): void;
}

export interface Load {
  /** Processor time so far. */
  readonly cpuMs: number;
  /** It has work and waits for a core, or has one. */
  readonly isRunnable: boolean;
}

export interface LinkOptions {
  readonly isolation: Isolation;
  readonly onReport: (report: Report) => void;
  /** Once: with how it ended. */
  readonly onEnd: (how: string, isMemory: boolean) => void;
  /** What the plugin wrote to standard output or error, as it came. */
  readonly onText: (text: string) => unknown;
}

export function openLink(options: LinkOptions): Link {
  return options.isolation.mode === "worker" ? openThread(options) : openProcess(options);
}

/** The heap of JavaScript is bounded; memory outside of it (Buffers, native code) is the whole process's. */
function openThread({ isolation, onReport, onEnd, onText }: LinkOptions): Link {
  const worker = new Worker(ENTRY, {
    name: "plugin",
    env: foreignEnvironment(),
    stdout: true,
    stderr: true,
    resourceLimits: { maxOldGenerationSizeMb: Math.ceil(isolation.memoryBytes / MIB) },
  });
  let failure: Error | undefined;
  follow(worker.stdout, onText);
  follow(worker.stderr, onText);
  worker.on("message", onReport);
  worker.on("error", (error) => (failure = error instanceof Error ? error : new Error(String(error))));
  worker.on("exit", (code) => {
    const { code: why } = (failure ?? {}) as { code?: unknown };
    onEnd(failure === undefined ? `exit code ${code}` : failure.message, why === "ERR_WORKER_OUT_OF_MEMORY");
  });
  return {
    tell: (order) => worker.postMessage(order, "events" in order ? [order.events.bytes.buffer] : []),
    rssBytes: () => undefined,
    load: () => undefined,
    kill: () => void worker.terminate(),
  };
}

function openProcess({ isolation, onReport, onEnd, onText }: LinkOptions): Link {
  const heapMib = Math.ceil(isolation.memoryBytes / MIB);
  const child = fork(ENTRY, {
    serialization: "advanced",
    env: foreignEnvironment(),
    execArgv: ["--disable-warning=ExperimentalWarning", `--max-old-space-size=${heapMib}`],
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  putLast(child);
  let words = "";
  let isMemory = false;
  if (child.stdout !== null) follow(child.stdout, onText);
  if (child.stderr !== null)
    follow(child.stderr, (text) => {
      words = /^\w*Error\b.*/m.exec(text)?.[0] ?? words;
      // V8's own last words; nothing else tells why it aborted.
      if (/^FATAL ERROR: .*heap/m.test(text)) isMemory = true;
      onText(text);
    });
  let ended = false;
  const end = (how: string) => {
    if (ended) return;
    ended = true;
    onEnd(how, isMemory);
  };
  child.on("message", (report) => onReport(report as Report));
  child.on("error", (error) => end(error.message));
  child.on("close", (code, signal) => end(`${signal ?? `exit code ${code}`}${words === "" ? "" : `: ${words}`}`));
  return {
    tell: (order) => {
      // One that just died tells by its end.
      if (child.connected) child.send(order, () => undefined);
    },
    rssBytes: () => rssOf(child.pid),
    load: () => loadOf(child.pid),
    kill: () => void child.kill("SIGKILL"),
  };
}

/** When cores or memory run short, it is the plugin that goes without, not PulseGate. */
function putLast({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    setPriority(pid, PRIORITY);
    writeFileSync(`/proc/${pid}/oom_score_adj`, "1000");
  } catch {
    // Not on this system, or gone already.
  }
}

function rssOf(pid: number | undefined): number | undefined {
  try {
    const kib = /^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
    return kib === undefined ? undefined : Number(kib) * 1024;
  } catch {
    return undefined;
  }
}

function loadOf(pid: number | undefined): Load | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const [state, ...fields] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return { isRunnable: state === "R", cpuMs: (Number(fields[10]) + Number(fields[11])) * TICK_MS };
  } catch {
    return undefined;
  }
}

function follow(output: Readable, onText: (text: string) => void): void {
  output.on("data", (chunk: Buffer) => {
    const text = chunk.subarray(0, TEXT_BYTES_MAX).toString().trim();
    if (text !== "") onText(text);
  });
}

// Source runs as .ts, the built package as .js.
const ENTRY = new URL(`./entry${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url);
