import { PulseGateError } from "../../core/canonical/errors.ts";
import { type GroupCount, groupsOf, isAskedFor } from "../../core/ingestion/dead-letters.ts";
import { amended, freshState, passingOver, settled } from "../../core/ingestion/lane-state.ts";
import {
  type AmendedOutcome,
  type Amendment,
  type DeadLetter,
  type DeadLetterGroup,
  type DeadLetterQuery,
  type DeadLetterRange,
  type LaneCommit,
  type LaneId,
  type LaneState,
  type LetterId,
  type Recount,
  type Redriven,
  type Settlement,
  type Stream,
  formatPosition,
  laneKey,
  slotOf,
  streamKey,
} from "../../core/ingestion/log.ts";
import { LaneLetters } from "./letters.ts";

interface StoredLane {
  readonly lane: LaneId;
  state: LaneState;
  readonly settlements: Settlement[];
  readonly dead: LaneLetters;
  readonly amendments: Map<number, Amendment>;
}

type Stamp = Pick<Amendment, "at" | "job" | "configRevision">;

/** The durable lanes of the in-memory log. Every method is one atomic step. */
export class LaneTable {
  readonly #lanes = new Map<string, StoredLane>();
  /** Positions of events that were erased. */
  readonly #erased = new Set<string>();

  open(lane: LaneId, start: number): LaneState {
    const known = this.#lanes.get(laneKey(lane));
    if (known !== undefined) return known.state;
    const state = freshState(start);
    this.#lanes.set(laneKey(lane), { lane, state, settlements: [], dead: new LaneLetters(), amendments: new Map() });
    return state;
  }

  load(lane: LaneId): LaneState | undefined {
    return this.#lanes.get(laneKey(lane))?.state;
  }

  drop(lane: LaneId): boolean {
    return this.#lanes.delete(laneKey(lane));
  }

  list(tenantId: string | undefined, of: "live" | "jobs"): { lane: LaneId; state: LaneState }[] {
    return [...this.#lanes.values()]
      .filter(({ lane }) => (lane.job === undefined) === (of === "live"))
      .filter(({ lane }) => tenantId === undefined || lane.stream.tenantId === tenantId)
      .map(({ lane, state }) => ({ lane, state }));
  }

  /** The claim is the caller's to check; the cursor is checked here. */
  commit(commit: LaneCommit, streamEnd: number): void {
    const { lane, settlement, deadLetters, redriven = [] } = commit;
    const stored = this.#lanes.get(laneKey(lane));
    if (stored === undefined || stored.state.cursor !== settlement.from) {
      throw new PulseGateError("fenced", `the cursor of ${laneKey(lane)} is not at ${settlement.from}`);
    }
    checkShape(commit, streamEnd);
    stored.state = settled(stored.state, settlement);
    stored.settlements.push(settlement);
    const { settledAt: at, configRevision } = settlement;
    for (const letter of deadLetters) {
      stored.dead.put(letter);
      if (this.#erased.has(formatPosition(lane.stream, letter.sequence)))
        this.#amend(letter, { type: "erased" }, { at });
    }
    for (const one of redriven) this.#redriven(one, { at, job: lane.job, configRevision });
  }

  #redriven({ lane, sequence, outcome }: Redriven, stamp: Stamp): void {
    if (outcome.type !== "dead") return void this.#amend({ lane, sequence }, outcome, stamp);
    const dead = this.#lanes.get(laneKey(lane))?.dead;
    if (dead?.get(sequence) !== undefined) dead.put(outcome.deadLetter);
  }

  #amend({ lane, sequence }: LetterId, outcome: AmendedOutcome, stamp: Stamp): boolean {
    const stored = this.#lanes.get(laneKey(lane));
    if (stored === undefined || !stored.dead.remove(sequence)) return false;
    stored.state = amended(stored.state, outcome);
    stored.amendments.set(sequence, { sequence, outcome, ...stamp });
    return true;
  }

  discard(letters: readonly LetterId[], { at, reason }: { readonly at: number; readonly reason: string }): number {
    return letters.filter((letter) => this.#amend(letter, { type: "filtered", reason }, { at })).length;
  }

  passOver(lane: LaneId, before: number, stamp: { readonly at: number; readonly reason: string }): number {
    const stored = this.#lanes.get(laneKey(lane));
    const settlement = stored && passingOver(stored.state, before, stamp);
    if (stored === undefined || settlement === undefined) return 0;
    stored.state = settled(stored.state, settlement);
    stored.settlements.push(settlement);
    return settlement.to - settlement.from;
  }

  /** How many dead letters went; those of these events that come later will go, too. */
  erase(stream: Stream, sequences: readonly number[], at: number): number {
    for (const sequence of sequences) this.#erased.add(formatPosition(stream, sequence));
    const lanes = [...this.#lanes.values()].map(({ lane }) => lane);
    const letters = lanes
      .filter((lane) => streamKey(lane.stream) === streamKey(stream))
      .flatMap((lane) => sequences.map((sequence) => ({ lane, sequence })));
    return letters.filter((letter) => this.#amend(letter, { type: "erased" }, { at })).length;
  }

  settlement(lane: LaneId, sequence: number): Settlement | undefined {
    const settlements = this.#lanes.get(laneKey(lane))?.settlements ?? [];
    return settlements.find(({ from, to }) => from <= sequence && sequence < to);
  }

  amendment(lane: LaneId, sequence: number): Amendment | undefined {
    return this.#lanes.get(laneKey(lane))?.amendments.get(sequence);
  }

  recount(lane: LaneId): Recount | undefined {
    const stored = this.#lanes.get(laneKey(lane));
    if (stored === undefined) return undefined;
    let recounted = freshState(stored.state.start);
    for (const settlement of stored.settlements) recounted = settled(recounted, settlement);
    for (const { outcome } of stored.amendments.values()) recounted = amended(recounted, outcome);
    return { state: stored.state, recounted, deadLetters: stored.dead.size };
  }

  deadLetters(query: DeadLetterQuery): DeadLetter[] {
    const { after } = query;
    const letters: DeadLetter[] = [];
    for (const key of [...this.#lanes.keys()].sort()) {
      if (after !== undefined && key < laneKey(after.lane)) continue;
      if (query.lane !== undefined && key !== laneKey(query.lane)) continue;
      const behind = after !== undefined && key === laneKey(after.lane) ? after.sequence : -1;
      const { dead } = this.#lanes.get(key) as StoredLane;
      letters.push(...[...dead.all()].filter((letter) => letter.sequence > behind && isAskedFor(letter, query)));
    }
    return letters.slice(0, query.limit);
  }

  deadLetter(lane: LaneId, sequence: number): DeadLetter | undefined {
    return this.#lanes.get(laneKey(lane))?.dead.get(sequence);
  }

  deadLetterGroups(range: DeadLetterRange): DeadLetterGroup[] {
    const counts: { lane: LaneId; count: GroupCount }[] = [];
    for (const [key, { lane, dead }] of this.#lanes) {
      const isTenants = range.tenantId === undefined || range.tenantId === lane.stream.tenantId;
      if (!isTenants || (range.sink !== undefined && range.sink !== lane.sink)) continue;
      if (range.lane !== undefined && key !== laneKey(range.lane)) continue;
      counts.push(...[...dead.counted(range)].map((count) => ({ lane, count })));
    }
    return groupsOf(counts);
  }
}

/** The other drivers trust their caller here; this one is for tests, so it catches a caller that is wrong. */
function checkShape({ lane, settlement, deadLetters, redriven = [] }: LaneCommit, streamEnd: number): void {
  const wrong = (what: string) => new PulseGateError("internal", `commit of ${laneKey(lane)}: ${what}`);
  if (settlement.to <= settlement.from) throw wrong("settles nothing");
  if (settlement.to > streamEnd) throw wrong("settles events that do not exist");
  let behind = settlement.from;
  const dead: number[] = [];
  for (const { from, to, outcome } of settlement.exceptions) {
    if (from < behind || to <= from || to > settlement.to) throw wrong("exceptions overlap or leave the range");
    behind = to;
    if (outcome === "dead") for (let sequence = from; sequence < to; sequence++) dead.push(sequence);
  }
  if (deadLetters.map((letter) => letter.sequence).join() !== dead.join()) throw wrong("dead letters do not match");
  if (redriven.some((one) => slotOf(one.lane.stream) !== slotOf(lane.stream))) throw wrong("redrives in another slot");
}
