import { expect, it } from "vitest";
import { simulateJobs } from "./jobs-sim.ts";

/** `PULSEGATE_SEEDS=5000` runs more; `PULSEGATE_SEED=123` runs one again. */
const SEEDS = Number(process.env.PULSEGATE_SEEDS ?? 2_000);
const ONLY = process.env.PULSEGATE_SEED;

it("keeps the ledger balanced and delivers what jobs select, whatever comes between", {
  timeout: 600_000,
}, async () => {
  const seeds = ONLY === undefined ? Array.from({ length: SEEDS }, (_, i) => i + 1) : [Number(ONLY)];
  const failures: string[] = [];
  for (const seed of seeds) {
    await simulateJobs(seed).catch((error: unknown) => {
      failures.push(`PULSEGATE_SEED=${seed}: ${error instanceof Error ? error.message : String(error)}`);
    });
    // A handful shows whether they have one cause; more would only take time.
    if (failures.length >= 5) break;
  }
  expect(failures).toEqual([]);
});
