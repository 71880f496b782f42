import type { AggressorKind } from "./kinds.ts";
import type { Door } from "./sender.ts";

/** What the proof asks of the thread that the aggressors live in; each is answered once. */
export type Order =
  | { readonly type: "begin"; readonly kind: AggressorKind; readonly door: Door; readonly victimRate: number }
  /** Ends it, and waits until nothing of it is left to deliver, where its events go to the thread's own sink. */
  | { readonly type: "end"; readonly drains: boolean }
  | { readonly type: "overload"; readonly doors: readonly Door[]; readonly ms: number };

/** Of an overload: events accepted of each door, and requests refused in all. */
export interface Overloaded {
  readonly accepted: readonly number[];
  readonly refused: number;
}

export interface AggressorSums {
  readonly accepted: number;
  readonly refused: number;
}
