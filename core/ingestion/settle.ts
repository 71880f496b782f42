import type { Slot } from "./lane-slot.ts";
import type { DeadLetter, Settlement, SettlementException } from "./log.ts";

export interface Settled {
  readonly settlement: Settlement;
  readonly deadLetters: readonly DeadLetter[];
  readonly delivered: number;
  readonly filtered: number;
  readonly dead: number;
}

/** The settlement record of a contiguous, settled prefix of a lane's window: what was not simply delivered, in runs. */
export function settlementOf(
  prefix: readonly Slot[],
  stamp: { readonly configRevision: number; readonly settledAt: number },
): Settled {
  const exceptions: SettlementException[] = [];
  const deadLetters: DeadLetter[] = [];
  let filtered = 0;
  let erased = 0;
  for (const slot of prefix) {
    const outcome = slot.outcome;
    if (outcome === undefined || outcome.type === "delivered") continue;
    if (outcome.type === "dead") deadLetters.push(outcome.deadLetter);
    else if (outcome.type === "filtered") filtered += slot.to - slot.sequence;
    else erased += slot.to - slot.sequence;
    addRun(exceptions, exceptionOf(slot));
  }
  const from = (prefix[0] as Slot).sequence;
  const to = (prefix[prefix.length - 1] as Slot).to;
  return {
    settlement: { from, to, exceptions, ...stamp },
    deadLetters,
    filtered,
    dead: deadLetters.length,
    delivered: to - from - filtered - deadLetters.length - erased,
  };
}

function exceptionOf({ sequence: from, to, outcome }: Slot): SettlementException {
  if (outcome?.type === "filtered") return { from, to, outcome: "filtered", reason: outcome.reason };
  return { from, to, outcome: outcome?.type === "dead" ? "dead" : "erased" };
}

function addRun(exceptions: SettlementException[], next: SettlementException): void {
  const last = exceptions[exceptions.length - 1];
  if (last === undefined || last.to !== next.from || !sameOutcome(last, next)) exceptions.push(next);
  else exceptions[exceptions.length - 1] = { ...last, to: next.to };
}

function sameOutcome(a: SettlementException, b: SettlementException): boolean {
  if (a.outcome === "filtered") return b.outcome === "filtered" && a.reason === b.reason;
  return a.outcome === b.outcome;
}
