import type { Random } from "../core/environment.ts";
import type { Slot } from "../core/ingestion/lane-slot.ts";
import type { RetryPolicy } from "../core/ingestion/revision.ts";
import { fullJitterMs } from "../core/qps/backoff.ts";
import type { Verdict } from "./delivery.ts";

/** What a round as a whole showed about the target. */
export interface Round {
  readonly sent: number;
  /** Some event of the round was taken, or refused for good. */
  readonly alive: boolean;
  /** The target's count of signs of life before the round, and after it. */
  readonly aliveBefore: number;
  readonly aliveAfter: number;
  /** No other event can be tried: the lane is full of those that wait behind failing ones of their keys. */
  readonly crowded: boolean;
}

export type Decision =
  /** At once, as far as the breaker allows: the failure says nothing about this event. */
  { readonly type: "again" } | { readonly type: "later"; readonly delayMs: number } | { readonly type: "dead" };

/**
 * Decides what becomes of an event whose delivery is to be tried again, and counts the attempt if it
 * shows anything: an attempt counts only when the target worked for others meanwhile, so that an
 * outage burns none.
 *
 * - Failed while neighbours in the round passed: counts.
 * - Failed alone (or said to be an outage amid neighbours that passed): counts at its next failure,
 *   if the target gave a sign of life between the two.
 * - Failed alone with no sign of life since: counts only if it is known to fail and holds up all others
 *   that could give one, because they wait behind it or another like it (`ordering`).
 * - Failed with its whole batch: counts for nobody. The events go on in halves, until the one that
 *   spoils the batch stands alone.
 */
export function judge(options: {
  readonly slot: Slot;
  readonly verdict: Verdict & { readonly type: "retry" };
  readonly round: Round;
  readonly policy: RetryPolicy;
  readonly random: Random;
}): Decision {
  const { slot, verdict, round, policy, random } = options;
  if (!round.alive && round.sent > 1) {
    slot.togetherMax = Math.ceil(round.sent / 2);
    return slot.attempts === 0 ? { type: "again" } : later();
  }
  const proven = slot.failedAloneAt !== undefined && round.aliveBefore > slot.failedAloneAt ? 1 : 0;
  const beside = round.alive && !verdict.unavailable;
  slot.isProven ||= proven > 0 || beside;
  const counts = beside || (round.crowded && slot.isProven && proven === 0 && !verdict.unavailable);
  slot.attempts += proven + (counts ? 1 : 0);
  slot.failedAloneAt = counts ? undefined : round.aliveAfter;
  if (slot.attempts >= policy.attempts) return { type: "dead" };
  return slot.attempts > 0 || round.alive ? later() : { type: "again" };

  function later(): Decision {
    const { backoffMinMs: minMs, backoffMaxMs: maxMs } = policy;
    const jitterMs = fullJitterMs({ attempt: Math.max(1, slot.attempts), minMs, maxMs, random });
    return { type: "later", delayMs: Math.max(jitterMs, verdict.retryAfterMs) };
  }
}
