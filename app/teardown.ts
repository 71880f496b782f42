type Step = (deadlineMs: number) => Promise<void>;

const GRACE_MS = 10_000;

/** What was started, stopped in reverse order within one deadline; a step that fails does not keep the others from running. */
export class Teardown {
  readonly #steps: Step[] = [];
  #running: Promise<void> | undefined;

  add(step: Step): void {
    this.#steps.push(step);
  }

  /** Runs once, however often it is called. Rejects with the first failure after all steps ran. */
  run(graceMs = GRACE_MS): Promise<void> {
    this.#running ??= this.#stopAll(performance.now() + graceMs);
    return this.#running;
  }

  async #stopAll(deadline: number): Promise<void> {
    const failures: unknown[] = [];
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step(Math.max(0, deadline - performance.now()));
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
