import type { Clock, Logger, Random } from "../core/environment.ts";
import { createJobControl, type JobControl } from "../core/ingestion/job-control.ts";
import type { IngestionLog } from "../core/ingestion/log.ts";
import type { Revision } from "../core/ingestion/revision.ts";
import type { WorkerPool } from "../workers/pool.ts";

export interface JobsOptions {
  readonly log: IngestionLog;
  readonly revision: () => Pick<Revision, "tenants">;
  /** Those that run the jobs' lanes; absent where other processes do that. */
  readonly workers: Pick<WorkerPool, "run" | "sights"> | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** A job was changed here: for other processes to look. */
  readonly onChange: () => Promise<void>;
}

export interface Jobs {
  /** Changes take effect at once. */
  readonly control: JobControl;
  /** Something was changed, here or by another process. */
  changed(): void;
  stop(): Promise<void>;
}

/** While jobs run: how often it is looked whether one is through. */
const STEP_MS = 250;
const RETRY_MS = 1_000;
/** How often it is looked for jobs that ended long ago. */
const FORGET_MS = 3_600_000;

/** Runs the jobs of the log, those of before a restart first. Without a job that runs it does nothing at all. */
export function startJobs(options: JobsOptions): Jobs {
  const { log, revision, clock, random } = options;
  const control = createJobControl({ reader: log, lanes: log, control: log.control, revision, clock, random });
  const { workers } = options;
  const loop = workers && new Loop({ ...options, workers }, control);
  const stopped = new AbortController();
  const done = loop && Promise.all([loop.run(), forgetOld(control, options, stopped.signal)]);
  const changed = (): void => {
    control.reread();
    loop?.poke();
  };
  return {
    control: telling(control, async () => {
      loop?.poke();
      await options.onChange();
    }),
    changed,
    async stop() {
      stopped.abort();
      loop?.stop();
      await done;
    },
  };
}

async function forgetOld(control: JobControl, { clock, logger }: JobsOptions, stopped: AbortSignal): Promise<void> {
  while (!stopped.aborted) {
    const jobs = await control.forget().catch((error: unknown) => {
      logger.warn({ error }, "old jobs could not be forgotten; it is tried again in an hour");
      return 0;
    });
    if (jobs > 0) logger.info({ jobs }, "jobs that ended long ago are forgotten");
    await clock.sleep(FORGET_MS, stopped);
  }
}

type LoopOptions = JobsOptions & { readonly workers: NonNullable<JobsOptions["workers"]> };

class Loop {
  readonly #options: LoopOptions;
  readonly #control: JobControl;
  readonly #stopped = new AbortController();
  /** Aborted by whatever makes it worth looking again. */
  #pause = new AbortController();
  #told = "[]";

  constructor(options: LoopOptions, control: JobControl) {
    this.#options = options;
    this.#control = control;
  }

  async run(): Promise<void> {
    while (!this.#stopped.signal.aborted) {
      this.#pause = new AbortController();
      const pause = this.#pause.signal;
      const ms = await this.#step();
      if (ms === undefined) await aborted(pause);
      else await this.#options.clock.sleep(ms, pause);
    }
  }

  poke(): void {
    this.#pause.abort();
  }

  stop(): void {
    this.#stopped.abort();
    this.poke();
  }

  /** Milliseconds to the next step; undefined when only a change brings one. */
  async #step(): Promise<number | undefined> {
    const { workers } = this.#options;
    try {
      const orders = await this.#control.step(this.#told === "[]" ? [] : await workers.sights());
      const text = JSON.stringify(orders);
      if (text !== this.#told) await workers.run(orders);
      this.#told = text;
      return orders.length === 0 ? undefined : STEP_MS;
    } catch (error) {
      if (!this.#stopped.signal.aborted) this.#options.logger.error({ error }, "jobs could not go on; trying again");
      return RETRY_MS;
    }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

/** The same control, which tells of each change. */
function telling(control: JobControl, tell: () => Promise<void>): JobControl {
  const then = async <T>(change: Promise<T>): Promise<T> => {
    const result = await change;
    await tell();
    return result;
  };
  return {
    create: (spec) => then(control.create(spec)),
    get: (id) => control.get(id),
    list: (tenantId) => control.list(tenantId),
    start: (id, version) => then(control.start(id, version)),
    pause: (id, version) => then(control.pause(id, version)),
    resume: (id, version) => then(control.resume(id, version)),
    cancel: (id, version) => then(control.cancel(id, version)),
    setRate: (id, rate, version) => then(control.setRate(id, rate, version)),
    progress: (job) => control.progress(job),
    step: (sights) => control.step(sights),
    unended: () => control.unended(),
    reread: () => control.reread(),
    forget: () => control.forget(),
    plan: (spec) => control.plan(spec),
  };
}
