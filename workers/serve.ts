import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import type { LogFields, Logger } from "../core/environment.ts";
import type { LaneStore, LogReader } from "../core/ingestion/log.ts";
import type { LogMetrics } from "../core/ingestion/metrics.ts";
import { createMetrics, type Metrics } from "../observability/metrics.ts";
import { systemClock } from "../observability/system-clock.ts";
import type { PluginDefinition } from "../plugins/contract.ts";
import { type Ask, errorData, type Request, type ThreadData, type Told } from "./messages.ts";
import { FlightFile } from "./isolation/flight-file.ts";
import { createWorker, type LaneWorker } from "./worker.ts";

/** The back half of a log, as a worker thread holds it. */
export type AttachedLog = LogReader &
  LaneStore & {
    /** Resolves with the reason when the log can't be read any more. */
    readonly failed?: Promise<Error>;
    close(): Promise<void>;
  };

/** What a log that connects by itself tells of that. */
export interface AttachTools {
  readonly logger: Logger;
  readonly metrics: LogMetrics;
}

export interface ServeOptions {
  /** Opens the log in this thread, from what the main thread's handle gave. */
  readonly attach: (handle: unknown, tools: AttachTools) => Promise<AttachedLog>;
  readonly findPlugin: (name: string) => PluginDefinition | undefined;
  /** A folder of this worker's own for its flight records, from the handle. */
  readonly flightFolder?: (handle: unknown, workerId: string) => string;
}

/** The body of a worker thread: runs the lanes and answers the pool until it is told to stop. */
export async function serveWorker(options: ServeOptions): Promise<void> {
  const port = parentPort;
  if (port === null) throw new Error("serveWorker runs in a worker thread only");
  const tell = (told: Told) => port.postMessage(told);
  const logger = portLogger(tell);
  // A promise that a plugin forgot must not end the lanes of all tenants.
  process.on("unhandledRejection", (reason) =>
    logger.error({ error: errorData(reason) }, "unhandled rejection in a worker"),
  );
  try {
    const thread = await startThread(options, logger);
    answer(port, tell, thread);
    void thread.log.failed?.then((error) => tell({ type: "failed", error: errorData(error) }));
    tell({ type: "ready" });
  } catch (error) {
    tell({ type: "failed", error: errorData(error) });
  }
}

interface Thread {
  readonly log: AttachedLog;
  readonly worker: LaneWorker;
  readonly metrics: Metrics;
}

async function startThread({ attach, findPlugin, flightFolder }: ServeOptions, logger: Logger): Promise<Thread> {
  const { handle, workerId, revision, paused, named, jobs, windowBytesMax, lanesInLine } = workerData as ThreadData;
  const metrics = createMetrics();
  if (named !== undefined) metrics.tenants.follow(named);
  const log = await attach(handle, { logger, metrics: metrics.log });
  const flights = flightFolder?.(handle, workerId);
  const worker = await createWorker({
    log,
    flights: flights === undefined ? undefined : (key) => new FlightFile(flights, key),
    workerId,
    revision,
    paused,
    jobs,
    findPlugin,
    clock: systemClock,
    random: Math.random,
    logger,
    metrics: metrics.lanes,
    pluginMetrics: (plugin) => metrics.plugin(plugin),
    windowBytesMax,
    lanesInLine,
  });
  return { log, worker, metrics };
}

function answer(port: MessagePort, tell: (told: Told) => void, thread: Thread): void {
  port.on("message", ({ id, request }: Ask) => {
    handle(thread, request)
      .then((value) => tell({ type: "answer", id, value }))
      .catch((error: unknown) => tell({ type: "refusal", id, error: errorData(error) }));
  });
}

async function handle({ worker, metrics, log }: Thread, request: Request): Promise<unknown> {
  switch (request.type) {
    case "apply":
      if (request.named !== undefined) metrics.tenants.follow(request.named);
      return worker.apply(request.revision);
    case "hold":
      return worker.hold(request.paused);
    case "reread":
      return worker.reread(request.tenantId);
    case "skip":
      return worker.skip(request.skip);
    case "preview":
      return worker.preview(request.preview);
    case "run":
      return worker.run(request.jobs);
    case "status":
      return worker.status();
    case "sights":
      return worker.sights();
    case "scrape":
      // A log that can't be read is for its alarms to tell; the other figures are asked for then all the more.
      metrics.tenants.follow(request.named);
      await worker.measure().catch(() => {});
      return { metrics: await metrics.collect(), traffic: metrics.tenants.takeTraffic() };
    case "stop":
      await worker.stop(request.deadlineMs);
      return log.close();
  }
}

/** Lines go to the main thread, which knows where to and what must not be shown. */
function portLogger(tell: (told: Told) => void): Logger {
  const at = (level: keyof Logger) => (fields: LogFields, message: string) => {
    try {
      tell({ type: "log", level, fields, message });
    } catch {
      // Some field of a plugin's can't be copied between threads.
      tell({ type: "log", level, fields: { fields: Object.keys(fields) }, message });
    }
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}
