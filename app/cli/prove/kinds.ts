import type { Behaviour } from "./marks.ts";

export interface Aggression {
  /** Events per second, as a multiple of the victim's. */
  readonly times: number;
  readonly bytes?: number;
  readonly behave?: (n: number) => Behaviour;
  /** That send nothing, beside those of the events. */
  readonly connections?: number;
}

/** What one tenant may do to another, each in a tenant of its own. */
export const AGGRESSORS = {
  flood: { times: 20 },
  "large bodies": { times: 0.4, bytes: 256 * 1024 },
  "slow sink": { times: 1, behave: () => "slow" },
  "dead sink": { times: 1, behave: () => "dead" },
  "poison events": { times: 2, behave: (n) => (n % 2 === 0 ? "poison" : "take") },
  connections: { times: 1, connections: 1_000 },
} as const satisfies Readonly<Record<string, Aggression>>;

export type AggressorKind = keyof typeof AGGRESSORS;
