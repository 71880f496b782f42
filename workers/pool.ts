import { isErrorCode, PulseGateError } from "../core/canonical/errors.ts";
import type { Clock, Logger, Random } from "../core/environment.ts";
import type { JobLaneSight, JobOrder } from "../core/ingestion/jobs.ts";
import { mergedPreviews, type PreviewRequest, type SinkPreview } from "../core/ingestion/preview.ts";
import type { Revision } from "../core/ingestion/revision.ts";
import { fullJitterMs } from "../core/qps/backoff.ts";
import type { ThreadSnapshot } from "../observability/metrics.ts";
import { systemClock } from "../observability/system-clock.ts";
import type { LaneStatus } from "./lane-status.ts";
import type { Request } from "./messages.ts";
import type { SkipRequest } from "./skip.ts";
import { ThreadEnded, ThreadLink } from "./thread-link.ts";

/** Of the time to stop, kept for closing plugins and the log after the lanes were cut off. */
const CLOSING_MS = 1_000;
const RESTART_MIN_MS = 100;
const RESTART_MAX_MS = 5_000;
/** A thread that lived so long is not in a crash loop. */
const SETTLED_MS = 60_000;
/** Restarts in a row that come to nothing before the pool gives up. */
const RESTARTS_MAX = 20;

export interface PoolOptions {
  /** Worker threads, at least 1. */
  readonly count: number;
  /** The log's handle for one worker, plain data for its thread; asked for anew at each restart. */
  readonly handle: (worker: { readonly index: number; readonly count: number }) => unknown;
  readonly revision: Revision;
  /** Keys of lanes that an operator has paused. */
  readonly paused?: readonly string[] | undefined;
  /** Tenants that have labels of their own in metrics; without it, the first that come. */
  readonly named?: (() => readonly string[]) | undefined;
  readonly logger: Logger;
  /** The workers can't go on: the log is damaged, or a thread dies again and again. */
  readonly onFatal: (error: Error) => void;
  /** The threads' module, one that calls `serveWorker`; the embedded log's when absent. */
  readonly entry?: URL | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
  /** Bytes that the lanes of one thread hold or read ahead, in all. */
  readonly windowBytesMax?: number | undefined;
  /** As `WorkerOptions.lanesInLine`. */
  readonly lanesInLine?: boolean | undefined;
}

export interface WorkerPool {
  /** As `LaneWorker.apply`, on every thread. */
  apply(revision: Revision): Promise<void>;
  /** As `LaneWorker.hold`, on every thread. */
  hold(paused: readonly string[]): Promise<void>;
  /** As `LaneWorker.reread`, on every thread. A thread that is being started reads anew anyhow. */
  reread(tenantId: string): Promise<void>;
  /** As `LaneWorker.skip`; rejects with `overloaded` when no live thread has the lane just now. */
  skip(request: SkipRequest): Promise<void>;
  /** As `LaneWorker.preview`, of all threads together. */
  preview(request: PreviewRequest): Promise<SinkPreview[]>;
  /** As `LaneWorker.run`, on every thread. */
  run(jobs: readonly JobOrder[]): Promise<void>;
  /** Metrics of each live thread, lags just measured; these tenants have labels from now on. */
  scrape(named: readonly string[]): Promise<ThreadSnapshot[]>;
  /** The lanes of all live threads. */
  status(): Promise<LaneStatus[]>;
  /** As `LaneWorker.sights`, of all live threads. */
  sights(): Promise<JobLaneSight[]>;
  /** Finishes deliveries under way and commits; beyond the deadline threads are terminated. Nothing is lost either way. */
  stop(deadlineMs: number): Promise<void>;
}

/** Starts the worker threads; resolves when all lanes are open, rejects if a thread can't start. */
export async function startWorkers(options: PoolOptions): Promise<WorkerPool> {
  const members = Array.from({ length: options.count }, (_, index) => new Member(index, options));
  try {
    await Promise.all(members.map((member) => member.start()));
  } catch (error) {
    await Promise.all(members.map((member) => member.stop(0)));
    throw error;
  }
  return {
    apply: async (revision) => void (await Promise.all(members.map((member) => member.apply(revision)))),
    hold: async (paused) => void (await Promise.all(members.map((member) => member.hold(paused)))),
    reread: async (tenantId) =>
      void (await Promise.all(members.map((member) => member.tryAsk({ type: "reread", tenantId })))),
    skip: async (skip) => {
      const answers = await Promise.all(members.map((member) => member.tryAsk<boolean>({ type: "skip", skip })));
      if (answers.flat().includes(true)) return;
      throw new PulseGateError("overloaded", "no worker has this lane just now: try again in a moment");
    },
    preview: async (preview) => {
      const ask = { type: "preview", preview } as const;
      const parts = await Promise.all(members.map((member) => member.tryAsk<SinkPreview[]>(ask)));
      if (parts.some((part) => part.length === 0))
        throw new PulseGateError("overloaded", "a worker is being started: try again in a moment");
      return mergedPreviews(parts.flat(2), preview.examplesMax);
    },
    run: async (jobs) => void (await Promise.all(members.map((member) => member.run(jobs)))),
    scrape: async (named) =>
      (await Promise.all(members.map((member) => member.tryAsk<ThreadSnapshot>({ type: "scrape", named })))).flat(),
    status: async () =>
      (await Promise.all(members.map((member) => member.tryAsk<LaneStatus[]>({ type: "status" })))).flat(2),
    sights: async () =>
      (await Promise.all(members.map((member) => member.tryAsk<JobLaneSight[]>({ type: "sights" })))).flat(2),
    stop: async (deadlineMs) => void (await Promise.all(members.map((member) => member.stop(deadlineMs)))),
  };
}

/** One place in the pool: a thread, and the next one when it dies. */
class Member {
  readonly #index: number;
  readonly #options: PoolOptions;
  readonly #clock: Clock;
  readonly #stopped = new AbortController();
  #revision: Revision;
  #paused: readonly string[];
  #jobs: readonly JobOrder[] = [];
  #link: ThreadLink | undefined;
  #startedAt = 0;
  #failures = 0;

  constructor(index: number, options: PoolOptions) {
    this.#index = index;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#revision = options.revision;
    this.#paused = options.paused ?? [];
  }

  async start(): Promise<void> {
    const link = this.#spawn();
    await link.ready;
    void this.#restartWhenEnded(link);
  }

  async apply(revision: Revision): Promise<void> {
    const before = this.#revision;
    // A thread that starts from here on starts with it.
    this.#revision = revision;
    try {
      await this.#askWhoeverRuns({ type: "apply", revision, named: this.#options.named?.() });
    } catch (error) {
      if (this.#revision === revision) this.#revision = before;
      throw error;
    }
  }

  async hold(paused: readonly string[]): Promise<void> {
    // Kept whatever comes: what an operator has paused stays so in every thread that starts from here on.
    this.#paused = paused;
    await this.#askWhoeverRuns({ type: "hold", paused });
  }

  async run(jobs: readonly JobOrder[]): Promise<void> {
    this.#jobs = jobs;
    await this.#askWhoeverRuns({ type: "run", jobs });
  }

  /** The answer in a list, or an empty one while the thread is being restarted. */
  async tryAsk<T>(request: Request): Promise<T[]> {
    try {
      return this.#link === undefined ? [] : [await this.#link.ask<T>(request)];
    } catch (error) {
      if (error instanceof ThreadEnded) return [];
      throw error;
    }
  }

  async stop(deadlineMs: number): Promise<void> {
    if (this.#stopped.signal.aborted) return;
    this.#stopped.abort();
    const link = this.#link;
    if (link === undefined) return;
    const drainMs = Math.max(0, deadlineMs - Math.min(CLOSING_MS, deadlineMs / 4));
    const done = new AbortController();
    const drained = link.ask({ type: "stop", deadlineMs: drainMs }).then(
      () => done.abort(),
      (error: unknown) => {
        this.#log("warn", { error }, "worker thread did not stop cleanly");
        done.abort();
      },
    );
    await Promise.race([drained, this.#clock.sleep(deadlineMs, done.signal)]);
    if (!done.signal.aborted) this.#log("warn", {}, "worker thread did not stop in time and is terminated");
    done.abort();
    await link.terminate();
  }

  #spawn(): ThreadLink {
    const { count, handle, entry, logger, windowBytesMax, lanesInLine } = this.#options;
    const index = this.#index;
    this.#startedAt = this.#clock.monotonic();
    this.#link = new ThreadLink({
      entry: entry ?? THREAD_ENTRY,
      data: {
        workerId: `worker-${index}`,
        revision: this.#revision,
        paused: this.#paused,
        named: this.#options.named?.(),
        jobs: this.#jobs,
        handle: handle({ index, count }),
        windowBytesMax,
        lanesInLine,
      },
      logger,
    });
    return this.#link;
  }

  async #restartWhenEnded(first: ThreadLink): Promise<void> {
    for (let link = first; ; ) {
      const error = (await link.ended) ?? new Error("The worker thread ended without being asked to");
      if (this.#stopped.signal.aborted) return;
      this.#link = undefined;
      if (this.#clock.monotonic() - this.#startedAt > SETTLED_MS) this.#failures = 0;
      this.#failures += 1;
      if (isErrorCode(error, "log_corrupt") || this.#failures > RESTARTS_MAX) return this.#options.onFatal(error);
      this.#log("error", { error, restarts: this.#failures }, "worker thread died; it is started again");
      await this.#clock.sleep(this.#restartMs(), this.#stopped.signal);
      if (this.#stopped.signal.aborted) return;
      link = this.#spawn();
    }
  }

  #restartMs(): number {
    const random = this.#options.random ?? Math.random;
    return fullJitterMs({ attempt: this.#failures, minMs: RESTART_MIN_MS, maxMs: RESTART_MAX_MS, random });
  }

  /** A thread that dies meanwhile is replaced by one that starts with the revision, the holds and the jobs: then all is done, too. */
  async #askWhoeverRuns(request: Request & { readonly type: "apply" | "hold" | "run" }): Promise<void> {
    while (!this.#stopped.signal.aborted) {
      const link = this.#link;
      try {
        if (link === undefined) await this.#clock.sleep(RESTART_MIN_MS, this.#stopped.signal);
        else {
          await link.ready;
          return await link.ask(request);
        }
      } catch (error) {
        if (!(error instanceof ThreadEnded) && this.#link === link) throw error;
      }
    }
  }

  #log(level: "warn" | "error", fields: Readonly<Record<string, unknown>>, message: string): void {
    this.#options.logger[level]({ worker: this.#index, ...fields }, message);
  }
}

// Source runs as .ts, the built package as .js.
const THREAD_ENTRY = new URL(`./thread${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url);
