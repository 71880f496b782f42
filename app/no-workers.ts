import { PulseGateError } from "../core/canonical/errors.ts";
import type { WorkerPool } from "../workers/pool.ts";

/** Of a process that leaves deliveries to others. */
export const NO_WORKERS: WorkerPool = {
  apply: async () => {},
  hold: async () => {},
  run: async () => {},
  reread: async () => {},
  scrape: async () => [],
  status: async () => [],
  sights: async () => [],
  stop: async () => {},
  skip: elsewhere,
  preview: elsewhere,
};

async function elsewhere(): Promise<never> {
  throw new PulseGateError("overloaded", "the workers are in other processes");
}
