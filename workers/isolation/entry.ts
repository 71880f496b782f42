import { isMainThread, parentPort, Worker } from "node:worker_threads";
import type { PluginDefinition } from "../../plugins/contract.ts";
import { hideChannel } from "../../plugins/loading/hide-channel.ts";
import { Body } from "./body.ts";
import type { Order, Report } from "./messages.ts";

/** The module of an isolate: of a thread or of a process, whichever it was started as. */
const now = () => performance.now();

async function findPlugin(name: string): Promise<PluginDefinition | undefined> {
  return (await import("../../plugins/registry.ts")).findPlugin(name);
}

function serveThread(port: NonNullable<typeof parentPort>): void {
  const tell = (report: Report, block?: ArrayBuffer) => port.postMessage(report, block === undefined ? [] : [block]);
  const body = new Body({ tell, findPlugin, now });
  port.on("message", (order: Order) => void body.take(order));
}

function serveProcess(): void {
  const send = hideChannel();
  const body = new Body({ tell: send, findPlugin, now });
  process.on("message", (order: Order) => {
    if (order.type === "start") watchLoop(order.assignment.deadlineMs);
    void body.take(order);
  });
  // Whoever started it is gone.
  process.on("disconnect", () => process.exit(0));
}

const BEAT_MS = 500;
/** Beyond the plugin's deadline: its owner has long killed it, if there is one. */
const ORPHAN_MS = 10_000;

/** Ends the process when its loop is stuck and nobody is left to kill it: an orphan must not burn a core for ever. */
function watchLoop(deadlineMs: number): void {
  const beats = new Int32Array(new SharedArrayBuffer(4));
  setInterval(() => Atomics.add(beats, 0, 1), BEAT_MS).unref();
  const watch = new Worker(WATCH, { eval: true, workerData: { beats, stuckMs: deadlineMs + ORPHAN_MS } });
  watch.unref();
}

const WATCH = `
const { beats, stuckMs } = require("node:worker_threads").workerData;
let last = -1;
setInterval(() => {
  const now = Atomics.load(beats, 0);
  if (now === last) process.kill(process.pid, "SIGKILL");
  last = now;
}, stuckMs);
`;

if (isMainThread) serveProcess();
else if (parentPort !== null) serveThread(parentPort);
