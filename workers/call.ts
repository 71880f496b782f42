import type { Timers } from "./timers.ts";

/** How a call into foreign code ended. */
export type CallEnd<T> =
  | { readonly type: "value"; readonly value: T }
  | { readonly type: "threw"; readonly error: unknown }
  | { readonly type: "late" }
  | { readonly type: "aborted" };

/** Calls under way in one place, so that a shutdown can cancel them. */
export class Calls {
  readonly #timers: Timers;
  readonly #running = new Set<() => void>();
  #abandoned = 0;
  #aborted = false;

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  /** Calls that passed their deadline and have not come back since. */
  get abandoned(): number {
    return this.#abandoned;
  }

  /**
   * Runs foreign code under a deadline, whatever it does: a throw, a rejection, an answer that never
   * comes. Resolves always. The signal aborts at the deadline and on `abort`; what the code answers
   * after that is ignored.
   */
  run<T>(timeoutMs: number, call: (signal: AbortSignal) => Promise<T> | T): Promise<CallEnd<T>> {
    return new Promise((resolve) => {
      if (this.#aborted) return resolve({ type: "aborted" });
      const controller = new AbortController();
      let open = true;
      const end = (result: CallEnd<T>) => {
        if (!open) return;
        open = false;
        timer.cancel();
        this.#running.delete(abort);
        resolve(result);
      };
      const giveUp = (result: CallEnd<T>) => {
        this.#abandoned += 1;
        end(result);
        controller.abort();
      };
      const abort = () => giveUp({ type: "aborted" });
      const timer = this.#timers.after(timeoutMs, () => giveUp({ type: "late" }));
      this.#running.add(abort);
      const back = (result: CallEnd<T>) => {
        if (open) end(result);
        else this.#abandoned -= 1;
      };
      invoke(call, controller.signal).then(
        (value) => back({ type: "value", value }),
        (error: unknown) => back({ type: "threw", error }),
      );
    });
  }

  /** Cancels what runs now and refuses what comes. */
  abort(): void {
    this.#aborted = true;
    for (const abort of this.#running) abort();
  }
}

async function invoke<T>(call: (signal: AbortSignal) => Promise<T> | T, signal: AbortSignal): Promise<T> {
  return await call(signal);
}
