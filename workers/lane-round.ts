import type { Slot } from "../core/ingestion/lane-slot.ts";
import type { LaneWindow } from "../core/ingestion/lane-window.ts";
import { fullJitterMs } from "../core/qps/backoff.ts";
import type { Prepared } from "./chain.ts";
import { isAlive, type Verdict } from "./delivery.ts";
import type { LaneOptions } from "./lane-options.ts";
import type { LaneReport } from "./lane-report.ts";
import { isCrowded, verdictsInOrder } from "./ordering.ts";
import { judge, type Round } from "./retry.ts";

export interface RoundEnd {
  readonly slots: readonly Slot[];
  /** One for each slot; undefined where the event was not tried to an end. */
  readonly verdicts: readonly (Verdict | undefined)[];
  readonly probe: boolean;
  readonly tookMs: number;
}

export interface RoundParts {
  readonly options: LaneOptions;
  readonly window: LaneWindow;
  readonly report: LaneReport;
}

/** Gives each event of a round its fate, and tells the target what the round as a whole showed. */
export function applyRound({ options, window, report }: RoundParts, end: RoundEnd): void {
  const { target, deps, use } = options;
  const { slots, verdicts } = end;
  const aliveBefore = target.aliveCount;
  const alive = verdicts.some(isAlive);
  // A suspect that fails alone again says nothing about the target, unless it was sent to ask just that.
  const telling = end.probe || slots.some((slot) => slot.attempts === 0);
  if (alive) target.alive(end.tookMs);
  // With an order of the whole stream that is the rule, and the lane is to wait.
  const crowded = typeof use.ordering === "object" && isCrowded(window, use);
  const round: Round = { sent: slots.length, alive, aliveBefore, aliveAfter: target.aliveCount, crowded };
  const counted = use.ordering === undefined ? verdicts : verdictsInOrder(slots, verdicts);
  slots.forEach((slot, i) => applyVerdict(slot, counted[i]));
  report.round(slots);
  if (!alive) tellTarget(options, verdicts, { telling, probe: end.probe });

  function applyVerdict(slot: Slot, verdict: Verdict | undefined): void {
    if (verdict === undefined) return window.giveBack(slot);
    if (verdict.type === "ok") return window.settle(slot, { type: "delivered" });
    const failure = { stage: target.host.stage, ...verdict };
    report.failed(slot, failure);
    const decision =
      verdict.type === "error"
        ? ({ type: "dead" } as const)
        : judge({ slot, verdict, round, policy: use.retry, random: deps.random });
    if (decision.type === "dead") window.settle(slot, { type: "dead", deadLetter: report.deadLetter(slot, failure) });
    else if (decision.type === "later") window.retryAt(slot, deps.timers.now() + decision.delayMs);
    else window.giveBack(slot);
  }
}

/** The event did not come through the transforms: it goes through them again later, or is a dead letter. */
export function applyChainFailure(
  { options, window, report }: RoundParts,
  slot: Slot,
  failure: Prepared & { readonly type: "failed" },
): void {
  const { deps, use } = options;
  const { attempts, backoffMinMs: minMs, backoffMaxMs: maxMs } = use.retry;
  slot.tries += 1;
  slot.attempts += 1;
  report.failed(slot, failure);
  if (failure.retryable && slot.attempts < attempts) {
    const delayMs = fullJitterMs({ attempt: slot.attempts, minMs, maxMs, random: deps.random });
    return window.retryAt(slot, deps.timers.now() + delayMs);
  }
  window.settle(slot, { type: "dead", deadLetter: report.deadLetter(slot, failure) });
}

function tellTarget(
  { target }: LaneOptions,
  verdicts: readonly (Verdict | undefined)[],
  { telling, probe }: { readonly telling: boolean; readonly probe: boolean },
): void {
  const retries = verdicts.filter((verdict) => verdict?.type === "retry");
  const first = retries[0];
  if (first === undefined || !telling) {
    if (probe) target.released();
    return;
  }
  const unavailable = retries.some((verdict) => verdict.unavailable);
  const retryAfterMs = retries.reduce((ms, verdict) => Math.max(ms, verdict.retryAfterMs), 0);
  target.failed({ unavailable, retryAfterMs, code: first.code, reason: first.reason });
}
