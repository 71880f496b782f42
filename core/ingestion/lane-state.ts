import type { AmendedOutcome, LaneState, Settlement } from "./log.ts";

/** A lane that has settled nothing yet. */
export function freshState(start: number): LaneState {
  return { start, cursor: start, delivered: 0, filtered: {}, dead: 0, erased: 0 };
}

/** The state after a settlement that begins at the cursor. */
export function settled(state: LaneState, { from, to, exceptions }: Settlement): LaneState {
  const filtered: Record<string, number> = { ...state.filtered };
  let { dead, erased } = state;
  let delivered = state.delivered + to - from;
  for (const exception of exceptions) {
    const events = exception.to - exception.from;
    delivered -= events;
    if (exception.outcome === "dead") dead += events;
    else if (exception.outcome === "erased") erased += events;
    else filtered[exception.reason] = (filtered[exception.reason] ?? 0) + events;
  }
  return { start: state.start, cursor: to, delivered, filtered, dead, erased };
}

/** What moves a lane to `before` without settling what lies between; undefined when it is there already. */
export function passingOver(
  { cursor }: LaneState,
  before: number,
  { at, reason }: { readonly at: number; readonly reason: string },
): Settlement | undefined {
  if (cursor >= before) return undefined;
  const exceptions = [{ from: cursor, to: before, outcome: "filtered", reason } as const];
  return { from: cursor, to: before, exceptions, configRevision: 0, settledAt: at };
}

/** The state after one dead event was given another outcome. */
export function amended(state: LaneState, outcome: AmendedOutcome): LaneState {
  const dead = state.dead - 1;
  if (outcome.type === "delivered") return { ...state, dead, delivered: state.delivered + 1 };
  if (outcome.type === "erased") return { ...state, dead, erased: state.erased + 1 };
  const { reason } = outcome;
  return { ...state, dead, filtered: { ...state.filtered, [reason]: (state.filtered[reason] ?? 0) + 1 } };
}
