/** What the sink of the proof does with an event: takes it, answers after long, cuts the connection, refuses it for good. */
export type Behaviour = "take" | "slow" | "dead" | "poison";

/** By what a sink of the proof knows an event again. */
export interface Mark {
  /** Unique among those of one sender. */
  readonly n: number;
  readonly behave: Behaviour;
}

const EVENT_BYTES = 250;

/** An event with a mark, about so long. */
export function eventWith(mark: Mark, bytes = EVENT_BYTES): string {
  const fill = "x".repeat(Math.max(0, bytes - 80));
  return JSON.stringify({ event_type: "trial", payload: { n: mark.n, behave: mark.behave, fill } });
}

const MARK = /^\{"n":(\d+),"behave":"(\w+)"/;

/** The mark of a payload, whose rest may be long and is not looked at. */
export function markOf(payload: Buffer): Mark | undefined {
  const [, n, behave] = MARK.exec(payload.toString("latin1", 0, 64)) ?? [];
  return n === undefined ? undefined : { n: Number(n), behave: behave as Behaviour };
}
