import type { Sight } from "./victim.ts";

/** One round of one aggressor, between two windows without any. */
export interface Round {
  readonly before: Sight;
  readonly during: Sight;
  readonly after: Sight;
}

export interface Limits {
  /** Times the quiet p99 that the victim's p99 may reach, at the door and at the sink. */
  readonly doorMax: number;
  readonly deliveryMax: number;
  /** What Jain's index of equal tenants at overload must reach. */
  readonly jainMin: number;
}

export interface Spread {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface Compared {
  readonly quiet: Spread;
  readonly during: Spread;
  /** The p99 as times of the quiet one: the median of the rounds. */
  readonly ratio: number;
}

export interface Row {
  readonly aggressor: string;
  readonly door: Compared;
  readonly delivery: Compared;
  readonly refused: number;
  /** Events that did not come within the patience. */
  readonly undelivered: number;
  readonly passed: boolean;
}

/** Times are not compared below this: there it is the scheduler of the machine that is measured. */
export const GRAIN_MS = 5;

/**
 * What an aggressor did to the victim. Each window under it is held against the worse of the two quiet
 * ones beside it: what came about without an aggressor is not laid at its door.
 */
export function judge(
  aggressor: string,
  rounds: readonly Round[],
  limits: Pick<Limits, "doorMax" | "deliveryMax">,
): Row {
  const door = compared(rounds, (sight) => sight.accept);
  const delivery = compared(rounds, (sight) => sight.delivery);
  const refused = rounds.reduce((sum, { during }) => sum + during.refused, 0);
  const undelivered = rounds.reduce(
    (sum, { during }) => sum + during.delivery.filter((ms) => ms === Infinity).length,
    0,
  );
  const kept = door.ratio <= limits.doorMax && delivery.ratio <= limits.deliveryMax;
  return { aggressor, door, delivery, refused, undelivered, passed: kept && refused === 0 && undelivered === 0 };
}

function compared(rounds: readonly Round[], times: (sight: Sight) => readonly number[]): Compared {
  const ratios = rounds.map(({ before, during, after }) => {
    const quiet = Math.max(...[before, after].map((sight) => percentile(times(sight), 0.99)));
    const loud = percentile(times(during), 0.99);
    // Nothing at all came through: no ratio is large enough.
    return times(during).length === 0 ? Infinity : loud / Math.max(GRAIN_MS, quiet);
  });
  const quiet = rounds.flatMap(({ before, after }) => [...times(before), ...times(after)]);
  const during = rounds.flatMap((round) => times(round.during));
  return { quiet: spread(quiet), during: spread(during), ratio: percentile(ratios, 0.5) };
}

function spread(times: readonly number[]): Spread {
  return { p50Ms: percentile(times, 0.5), p99Ms: percentile(times, 0.99) };
}

/** Nearest rank; infinite when there is nothing. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => (a === b ? 0 : a - b));
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Infinity;
}

/** Jain's index of fairness: 1 when all have the same, 1/n when one has everything. */
export function jainIndex(shares: readonly number[]): number {
  const sum = shares.reduce((total, one) => total + one, 0);
  const squares = shares.reduce((total, one) => total + one * one, 0);
  return squares === 0 ? 0 : (sum * sum) / (shares.length * squares);
}
