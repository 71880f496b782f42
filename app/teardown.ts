import type { Clock, Logger } from "../core/environment.ts";

export interface TeardownStep {
  /** What is stopped, as the warning names it when it does not end in time. */
  readonly name: string;
  /** Part of the grace that is kept for this step, whatever those before it took. */
  readonly share: number;
  /** Part of the grace that it may take at most; absent: all that the others leave. */
  readonly shareMax?: number;
  stop(deadlineMs: number): Promise<void> | void;
}

export interface TeardownOptions {
  /** For all steps together, with time to spare for the process's own end. */
  readonly graceMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Of the grace, for the steps; the rest is the slack of those that are cut, and the process's own end. */
const STEPS_SHARE = 0.9;
/** Of the grace, that a step may be late: it was told the deadline and cuts by itself what it can. */
const SLACK_SHARE = 0.01;

/**
 * What was started, stopped in reverse order within one budget: no step can take the time of those
 * after it. One that does not end is left behind with a warning, one that fails does not keep the
 * others from running.
 */
export class Teardown {
  readonly #steps: TeardownStep[] = [];
  readonly #options: TeardownOptions;
  #running: Promise<void> | undefined;

  constructor(options: TeardownOptions) {
    this.#options = options;
  }

  add(step: TeardownStep): void {
    this.#steps.push(step);
  }

  /** Runs once, however often it is called. Rejects with the first failure after all steps ran. */
  run(): Promise<void> {
    this.#running ??= this.#stopAll();
    return this.#running;
  }

  async #stopAll(): Promise<void> {
    const { clock, graceMs } = this.#options;
    const endsAt = clock.monotonic() + graceMs * STEPS_SHARE;
    const failures: unknown[] = [];
    // A start that is under way may add more while it is stopped.
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      const kept = this.#steps.reduce((sum, { share }) => sum + share, 0) * graceMs;
      const left = Math.max(step.share * graceMs, endsAt - clock.monotonic() - kept);
      const deadlineMs = Math.floor(Math.min(left, (step.shareMax ?? 1) * graceMs));
      await this.#stopOne(step, deadlineMs).catch((error: unknown) => {
        failures.push(error);
      });
    }
    if (failures.length > 0) throw failures[0];
  }

  async #stopOne(step: TeardownStep, deadlineMs: number): Promise<void> {
    const { clock, graceMs, logger } = this.#options;
    const done = new AbortController();
    const stop = async () => step.stop(deadlineMs);
    const late = clock.sleep(deadlineMs + graceMs * SLACK_SHARE, done.signal);
    const outcome = await Promise.race([stop().then(() => "stopped"), late.then(() => "late")]).finally(() => {
      done.abort();
    });
    if (outcome === "late") logger.warn({ part: step.name, deadlineMs }, "this part did not stop in time and is cut");
  }
}
