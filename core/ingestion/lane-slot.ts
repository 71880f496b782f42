import type { CanonicalEvent } from "../canonical/event.ts";
import type { Attempt, DeadLetter, LogEntry } from "./log.ts";

/** `parked`: it could be sent, but an earlier event of its key is not settled. */
export type SlotState = "fresh" | "preparing" | "parked" | "ready" | "sending" | "waiting" | "settled" | "dropped";

export type SlotOutcome =
  | { readonly type: "delivered" }
  | { readonly type: "filtered"; readonly reason: string }
  | { readonly type: "dead"; readonly deadLetter: DeadLetter }
  | { readonly type: "erased" };

/** A run of sequences `sequence ≤ s < to` with nothing to deliver, and what they are settled as. */
export interface Gap {
  readonly sequence: number;
  readonly to: number;
  readonly outcome: Extract<SlotOutcome, { type: "filtered" | "erased" }>;
}

/** One event between read and commit. */
export interface Slot {
  readonly sequence: number;
  /** One past the last sequence that it stands for: more than one only where there is nothing to deliver. */
  readonly to: number;
  readonly receivedAt: number;
  /** Monotonic milliseconds. */
  readonly readAt: number;
  /** Canonical bytes as accepted; let go once settled. */
  bytes: Buffer;
  /** What a batch's size counts. */
  size: number;
  /** After the transform chain. */
  event: CanonicalEvent | undefined;
  state: SlotState;
  /** By which it is kept in order with others; undefined: with none. */
  readonly key: string | undefined;
  /** Its neighbours among the unsettled events of its key. */
  ahead: Slot | undefined;
  behind: Slot | undefined;
  /** Others of its key had to be settled first. */
  hasWaited: boolean;
  /** Monotonic milliseconds, while waiting. */
  dueAt: number;
  /** Times sent or transformed, whatever came of it. */
  tries: number;
  /** Tries that count against the limit: those that failed while the sink worked for others. */
  attempts: number;
  /** It has failed at the sink while the sink worked for others. */
  isProven: boolean;
  /** The target's count of signs of life when this event last failed alone. */
  failedAloneAt: number | undefined;
  /** Sent with at most so many, itself included: halves when a whole batch fails, to find the guilty one. */
  togetherMax: number;
  history: Attempt[];
  outcome: SlotOutcome | undefined;
}

/** An event that was just read, or what stands for a run of them. */
export function newSlot(
  entry: LogEntry,
  readAt: number,
  { key, to = entry.sequence + 1 }: { readonly key?: string | undefined; readonly to?: number },
): Slot {
  return {
    sequence: entry.sequence,
    to,
    key,
    ahead: undefined,
    behind: undefined,
    hasWaited: false,
    receivedAt: entry.receivedAt,
    readAt,
    bytes: entry.bytes,
    size: entry.bytes.length,
    event: undefined,
    state: "fresh",
    dueAt: 0,
    tries: 0,
    attempts: 0,
    isProven: false,
    failedAloneAt: undefined,
    togetherMax: Number.POSITIVE_INFINITY,
    history: [],
    outcome: undefined,
  };
}
