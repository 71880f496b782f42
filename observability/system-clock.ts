import { setTimeout as sleepFor } from "node:timers/promises";
import type { Clock } from "../core/environment.ts";

/** The machine's own time. A sleep keeps the process alive: work that waits is still work. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: async (ms, signal) => {
    try {
      await sleepFor(Math.max(0, ms), undefined, signal === undefined ? {} : { signal });
    } catch (error) {
      if (signal === undefined || !signal.aborted) throw error;
    }
  },
};
