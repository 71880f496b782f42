import { PulseGateError } from "../../core/canonical/errors.ts";
import {
  type DeadLetter,
  type DeadLetterQuery,
  type LaneCommit,
  type LaneId,
  type LaneState,
  type Settlement,
  laneKey,
} from "../../core/ingestion/log.ts";

interface StoredLane {
  readonly lane: LaneId;
  state: LaneState;
  readonly settlements: Settlement[];
  readonly dead: Map<number, DeadLetter>;
}

/** The durable lanes of the in-memory log. Every method is one atomic step. */
export class LaneTable {
  readonly #lanes = new Map<string, StoredLane>();

  open(lane: LaneId, start: number): LaneState {
    const known = this.#lanes.get(laneKey(lane));
    if (known !== undefined) return known.state;
    const state: LaneState = { start, cursor: start, delivered: 0, filtered: {}, dead: 0, erased: 0 };
    this.#lanes.set(laneKey(lane), { lane, state, settlements: [], dead: new Map() });
    return state;
  }

  load(lane: LaneId): LaneState | undefined {
    return this.#lanes.get(laneKey(lane))?.state;
  }

  list(tenantId: string | undefined): { lane: LaneId; state: LaneState }[] {
    return [...this.#lanes.values()]
      .filter(({ lane }) => tenantId === undefined || lane.stream.tenantId === tenantId)
      .map(({ lane, state }) => ({ lane, state }));
  }

  /** The claim is the caller's to check; the cursor is checked here. */
  commit(commit: LaneCommit, streamEnd: number): void {
    const stored = this.#lanes.get(laneKey(commit.lane));
    if (stored === undefined || stored.state.cursor !== commit.settlement.from) {
      throw new PulseGateError("fenced", `the cursor of ${laneKey(commit.lane)} is not at ${commit.settlement.from}`);
    }
    checkShape(commit, streamEnd);
    stored.state = settle(stored.state, commit.settlement);
    stored.settlements.push(commit.settlement);
    for (const letter of commit.deadLetters) stored.dead.set(letter.sequence, letter);
  }

  settlement(lane: LaneId, sequence: number): Settlement | undefined {
    const settlements = this.#lanes.get(laneKey(lane))?.settlements ?? [];
    return settlements.find(({ from, to }) => from <= sequence && sequence < to);
  }

  deadLetters(query: DeadLetterQuery): DeadLetter[] {
    const { after } = query;
    const letters: DeadLetter[] = [];
    for (const key of [...this.#lanes.keys()].sort()) {
      if (after !== undefined && key < laneKey(after.lane)) continue;
      const { lane, dead } = this.#lanes.get(key) as StoredLane;
      if (query.tenantId !== undefined && lane.stream.tenantId !== query.tenantId) continue;
      if (query.sink !== undefined && lane.sink !== query.sink) continue;
      const behind = after !== undefined && key === laneKey(after.lane) ? after.sequence : -1;
      // Commits move forward only, so the map is in order of sequence.
      letters.push(...[...dead.values()].filter((letter) => letter.sequence > behind));
    }
    return letters.slice(0, query.limit);
  }

  deadLetter(lane: LaneId, sequence: number): DeadLetter | undefined {
    return this.#lanes.get(laneKey(lane))?.dead.get(sequence);
  }
}

/** The other drivers trust their caller here; this one is for tests, so it catches a caller that is wrong. */
function checkShape({ lane, settlement, deadLetters }: LaneCommit, streamEnd: number): void {
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
}

function settle(state: LaneState, { from, to, exceptions }: Settlement): LaneState {
  const filtered = { ...state.filtered };
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
