import type { CanonicalEvent, PluginContext, TransformOutcome, TransformPlugin } from "../../plugins/contract.ts";
import { Resident, type ResidentOptions } from "./resident.ts";
import { type Job, RunnerDied } from "./runner.ts";
import { CRASHES_MAX, type Suspects } from "./suspects.ts";

/** Events handed over at a time. */
const RUN_EVENTS_MAX = 256;

export interface GuardOptions extends Omit<ResidentOptions, "onBack"> {
  readonly name: string;
  readonly suspects: Suspects;
}

/**
 * A transform that may die on an event. Calls that come together go over together; after a death
 * those that had no answer are tried one by one, and the event that kills three times is an error for good.
 */
export class GuardedTransform implements TransformPlugin {
  readonly name: string;
  readonly version: string;
  /** Called when it is there again after a death. */
  onBack: (() => void) | undefined;
  readonly #resident: Resident;
  readonly #suspects: Suspects;
  readonly #jobs: Job[] = [];
  readonly #alone: Job[] = [];
  #busy = false;
  #scheduled = false;

  constructor(options: GuardOptions) {
    this.name = options.name;
    this.version = options.version;
    this.#suspects = options.suspects;
    this.#resident = new Resident({ ...options, onBack: () => this.#back() });
  }

  get isUp(): boolean {
    return this.#resident.runner !== undefined;
  }

  init(config: unknown): Promise<void> {
    return this.#resident.start(config);
  }

  process(event: CanonicalEvent, ctx: PluginContext): Promise<TransformOutcome> {
    if (this.#suspects.isGuilty(event.event_id)) return Promise.resolve(this.#condemn(event));
    return new Promise((resolve, reject) => {
      const job: Job = { event, ctx, resolve, reject, answered: false };
      (this.#suspects.has(event.event_id) ? this.#alone : this.#jobs).push(job);
      this.#schedule();
    });
  }

  async close(): Promise<void> {
    await this.#resident.close();
    this.#suspects.close();
  }

  #back(): void {
    this.#schedule();
    this.onBack?.();
  }

  /** At the end of this turn of the loop, so that what comes together goes together. */
  #schedule(): void {
    if (this.#busy || this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      void this.#run();
    });
  }

  async #run(): Promise<void> {
    while (!this.#busy) {
      const runner = this.#resident.runner;
      const jobs = runner === undefined ? [] : this.#take();
      if (runner === undefined || jobs.length === 0) return;
      this.#busy = true;
      this.#suspects.took(idsOf(jobs));
      try {
        await runner.transform(jobs);
      } catch (error) {
        this.#failed(jobs, error);
      }
      const answered = jobs.filter((job) => job.answered);
      if (answered.length > 0) this.#resident.worked();
      this.#suspects.cleared(idsOf(answered));
      this.#busy = false;
    }
  }

  #take(): Job[] {
    // Whoever waited for them has given up, and asks again.
    const isWanted = (job: Job) => !job.ctx.signal.aborted;
    const alone = takeNext(this.#alone, 1, isWanted);
    return alone.length > 0 ? alone : takeNext(this.#jobs, RUN_EVENTS_MAX, isWanted);
  }

  #failed(jobs: readonly Job[], error: unknown): void {
    const left = jobs.filter((job) => !job.answered);
    if (!(error instanceof RunnerDied)) {
      for (const job of left) job.reject(error);
      return;
    }
    const crashes = this.#suspects.died(idsOf(left));
    const [only] = left;
    if (left.length > 1 || only === undefined) this.#alone.unshift(...left);
    else only.resolve(this.#verdict(only, error, crashes));
  }

  #verdict({ event }: Job, { code, message }: RunnerDied, crashes: number): TransformOutcome {
    if (crashes >= CRASHES_MAX) return this.#condemn(event, code, message);
    return failure({ reason: message, retryable: true, code });
  }

  /** What killed it before this process began is not known any more. */
  #condemn({ event_id }: CanonicalEvent, code = "plugin_crashed", how = `${this.name}@${this.version} crashed`) {
    this.#suspects.forget(event_id);
    return failure({ reason: `${how}, ${CRASHES_MAX} times with this event alone`, retryable: false, code });
  }
}

function failure(error: { reason: string; retryable: boolean; code: string }): TransformOutcome {
  return { type: "error", ...error };
}

function takeNext(queue: Job[], max: number, isWanted: (job: Job) => boolean): Job[] {
  const taken: Job[] = [];
  while (taken.length < max) {
    const job = queue.shift();
    if (job === undefined) break;
    if (isWanted(job)) taken.push(job);
  }
  return taken;
}

function idsOf(jobs: readonly Job[]): string[] {
  return jobs.map(({ event }) => event.event_id);
}
