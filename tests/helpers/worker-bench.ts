import { encodeParts } from "../../core/canonical/codec.ts";
import type { Logger } from "../../core/environment.ts";
import type { AppendEntry, LogWriter } from "../../core/ingestion/log.ts";
import type { LaneMetrics } from "../../core/ingestion/metrics.ts";
import type { LaneId, LaneState, LaneStore, LogReader } from "../../core/ingestion/log.ts";
import type { Revision, SinkUse, TenantConfig } from "../../core/ingestion/revision.ts";
import { type MemoryFaults, type MemoryLog, openMemoryLog } from "../../drivers/memory/index.ts";
import type { PluginDefinition } from "../../plugins/contract.ts";
import type { FlightRecord } from "../../workers/isolation/suspects.ts";
import { createWorker, type LaneWorker } from "../../workers/worker.ts";
import { SimClock, seededRandom } from "./sim-clock.ts";

export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

export const noMetrics: LaneMetrics = {
  delivery: () => undefined,
  settled: () => undefined,
  replayed: () => undefined,
  error: () => undefined,
  deadLetter: () => undefined,
  processing: () => undefined,
  lane: () => undefined,
};

export function sinkUse(name: string, change: Partial<SinkUse> = {}): SinkUse {
  return {
    name,
    id: name,
    config: {},
    retry: { attempts: 5, backoffMinMs: 100, backoffMaxMs: 5_000, timeoutMs: 10_000 },
    batch: { eventsMax: 100, bytesMax: 1024 * 1024, lingerMs: 0 },
    windowEvents: 1_000,
    ...change,
  };
}

export function tenant(id: string, sinks: readonly SinkUse[], change: Partial<TenantConfig> = {}): TenantConfig {
  return { id, keys: [], partitions: 1, weight: 1, transforms: [], sinks, ...change };
}

export function revision(number: number, tenants: readonly TenantConfig[]): Revision {
  return {
    number,
    limits: {
      eventBytesMax: 1024 * 1024,
      batchBytesMax: 10 * 1024 * 1024,
      batchEventsMax: 10_000,
      headerTimeoutMs: 10_000,
      bodyTimeoutMs: 30_000,
      keepAliveTimeoutMs: 5_000,
      connectionsMax: 1_000,
      connectionsPerAddressMax: 10_000,
      bodyBytesPerSecondMin: 0,
    },
    tenants,
  };
}

export function entry(
  tenantId: string,
  eventId: string,
  options: { partition?: number; payload?: string } = {},
): AppendEntry {
  const { partition = 0, payload = '{"n":1}' } = options;
  const bytes = encodeParts({
    eventId,
    tenantId,
    eventType: "order_paid",
    source: "http",
    payload: Buffer.from(payload),
  });
  return { stream: { tenantId, partition }, eventId, bytes };
}

/** Appends events named `PREFIX0`, `PREFIX1`, … and returns their ids. */
export async function appendEvents(
  log: LogWriter,
  tenantId: string,
  options: { readonly count: number; readonly prefix?: string; readonly partition?: number },
): Promise<string[]> {
  const { count, prefix = "e", partition = 0 } = options;
  const ids = Array.from({ length: count }, (_, i) => `${prefix}${i}`);
  await log.append(ids.map((id) => entry(tenantId, id, { partition })));
  return ids;
}

export interface BenchOptions {
  readonly plugins: readonly PluginDefinition[];
  readonly tenants: readonly TenantConfig[];
  readonly faults?: MemoryFaults;
  readonly metrics?: LaneMetrics;
  readonly logger?: Logger;
  readonly windowBytesMax?: number;
  readonly flights?: (key: string) => FlightRecord;
  /** Methods of the log as the worker sees it, in place of the real ones. */
  readonly override?: (log: MemoryLog, clock: SimClock) => Partial<LogReader & LaneStore>;
}

/** A worker on the in-memory log, with time that moves only when told. */
export class WorkerBench {
  readonly clock: SimClock;
  readonly log: MemoryLog;
  readonly #options: BenchOptions;
  #worker: LaneWorker | undefined;

  private constructor(options: BenchOptions, clock: SimClock, log: MemoryLog) {
    this.#options = options;
    this.clock = clock;
    this.log = log;
  }

  static async start(options: BenchOptions): Promise<WorkerBench> {
    const clock = new SimClock();
    const { faults } = options;
    const log = openMemoryLog({ clock, random: seededRandom(7), ...(faults === undefined ? {} : { faults }) });
    const bench = new WorkerBench(options, clock, log);
    await bench.startWorker();
    return bench;
  }

  get worker(): LaneWorker {
    if (this.#worker === undefined) throw new Error("the worker is not running");
    return this.#worker;
  }

  async startWorker(tenants = this.#options.tenants): Promise<void> {
    const { plugins, metrics = noMetrics, logger = silentLogger, windowBytesMax, flights } = this.#options;
    const starting = createWorker({
      log: overridden(this.log, this.#options.override?.(this.log, this.clock)),
      workerId: "w0",
      revision: revision(1, tenants),
      findPlugin: (name) => plugins.find((plugin) => plugin.name === name),
      clock: this.clock,
      random: seededRandom(1),
      logger,
      metrics,
      windowBytesMax,
      flights,
    });
    this.#worker = await this.finish(starting);
  }

  /** Lets time pass until the promise is settled. */
  async finish<T>(promise: Promise<T>, limitMs = 120_000): Promise<T> {
    const waiting = { settled: false };
    const settle = async () => {
      await Promise.allSettled([promise]);
      waiting.settled = true;
    };
    void settle();
    await this.clock.runUntil(() => waiting.settled, limitMs);
    return promise;
  }

  /** Lets time pass until the lane's cursor is there; its state then. */
  async until(lane: LaneId, cursor: number, limitMs: number): Promise<LaneState> {
    const until = this.clock.monotonic() + limitMs;
    for (;;) {
      await this.clock.advance(0);
      const state = await this.ask(() => this.log.loadLane(lane));
      if (state?.cursor === cursor) return state;
      if (this.clock.monotonic() >= until)
        throw new Error(`the cursor is ${state?.cursor}, not ${cursor}, after ${limitMs} ms`);
      await this.clock.advance(Math.min(5, until - this.clock.monotonic()));
    }
  }

  /** Asks a log that may be slow or fail, until it answers. */
  async ask<T>(call: () => Promise<T>): Promise<T> {
    for (;;) {
      const answer = await this.finish(
        call().then(
          (value) => ({ value }),
          () => undefined,
        ),
      );
      if (answer !== undefined) return answer.value;
    }
  }

  async stop(deadlineMs = 1_000): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    if (worker !== undefined) await this.finish(worker.stop(deadlineMs));
  }
}

function overridden(log: MemoryLog, methods: Partial<LogReader & LaneStore> | undefined): LogReader & LaneStore {
  return new Proxy(log, {
    get: (target, name) => {
      const method: unknown = methods?.[name as keyof typeof methods] ?? target[name as keyof MemoryLog];
      return typeof method === "function" ? method.bind(target) : method;
    },
  });
}

export function lane(tenantId: string, sink: string, partition = 0): LaneId {
  return { stream: { tenantId, partition }, sink };
}
