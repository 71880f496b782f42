import { expect, it } from "vitest";
import { planOf } from "./plan.ts";
import { simulate } from "./run.ts";

/** `PULSEGATE_SEEDS=5000` runs more; `PULSEGATE_SEED=123` runs one again. */
const SEEDS = Number(process.env.PULSEGATE_SEEDS ?? 600);
const ONLY = process.env.PULSEGATE_SEED;

it("keeps every promise of the lanes, whatever fails", { timeout: 600_000 }, async () => {
  const seeds = ONLY === undefined ? Array.from({ length: SEEDS }, (_, i) => i + 1) : [Number(ONLY)];
  const failures: string[] = [];
  for (const seed of seeds) {
    const plan = planOf(seed);
    await simulate(plan).catch((error: unknown) => {
      failures.push(
        `PULSEGATE_SEED=${seed} (${plan.profile}): ${error instanceof Error ? error.message : String(error)}`,
      );
    });
    // A handful shows whether they have one cause; more would only take time.
    if (failures.length >= 5) break;
  }
  expect(failures).toEqual([]);
});
