import { open, type RootDatabase } from "lmdb";
import { PulseGateError } from "../../core/canonical/errors.ts";
import { type GroupCount, groupsOf } from "../../core/ingestion/dead-letters.ts";
import { amended, freshState, passingOver, settled } from "../../core/ingestion/lane-state.ts";
import {
  type AmendedOutcome,
  type Amendment,
  type Claim,
  type ControlStore,
  type DeadLetter,
  type DeadLetterGroup,
  type DeadLetterQuery,
  type DeadLetterRange,
  type Erased,
  type LaneCommit,
  type LaneId,
  laneKey,
  type LaneState,
  type LetterId,
  type Recount,
  type Redriven,
  type Settlement,
  type Stream,
  SLOT_COUNT,
  slotOf,
  type StreamKey,
  streamKey,
} from "../../core/ingestion/log.ts";
import { controlStoreOf } from "./control-store.ts";
import { ErasureStore } from "./erasures.ts";
import { plainLane, tenantRange } from "./lane-rows.ts";
import { LetterStore, type Place } from "./letters.ts";
import type { Scrub } from "./scrub.ts";

const FORGET_AT_ONCE = 1_000;

type Stamp = Pick<Amendment, "at" | "job" | "configRevision">;
type LaneRow = { readonly lane: LaneId; readonly state: LaneState };

/** How the log was closed: where its blocks end. Absent after a crash. */
export interface CleanEnd {
  readonly segment: number;
  readonly offset: number;
}

/**
 * Lanes, settlements, dead letters, control documents and claim epochs in LMDB. Several
 * threads of the owning process may have it open. Every write is synced before it resolves; rejects
 * with `log_unavailable` when the storage fails.
 */
export class StateStore {
  readonly control: ControlStore;
  readonly erasures: ErasureStore;
  private readonly env: RootDatabase;
  private readonly laneRows;
  private readonly settlements;
  private readonly letters: LetterStore;
  private readonly amendments;
  private readonly forgotten;
  private readonly meta;

  constructor(path: string) {
    // overlappingSync would resolve writes before the sync that covers them (a trap of lmdb 3.5).
    this.env = open({ path, maxDbs: 16, overlappingSync: false, noSubdir: false });
    this.laneRows = this.env.openDB<LaneRow, string>({ name: "lanes" });
    this.settlements = this.env.openDB<Settlement, [string, number]>({ name: "settlements" });
    this.letters = new LetterStore(this.env, path);
    this.amendments = this.env.openDB<Amendment, [string, number]>({ name: "amendments" });
    this.forgotten = this.env.openDB<LaneState, string>({ name: "forgotten" });
    this.erasures = new ErasureStore(this.env, (action) => this.write(action));
    this.meta = this.env.openDB<unknown, string>({ name: "meta" });
    this.control = controlStoreOf(this.env, (action) => this.write(action));
  }

  /** Takes the slots over: their older claims are fenced from now on. */
  async claim(slots: readonly number[]): Promise<Claim[]> {
    return this.write(() =>
      slots.map((slot) => {
        const epoch = this.epochOf(slot) + 1;
        void this.meta.put(`epoch/${slot}`, epoch);
        return { slot, epoch };
      }),
    );
  }

  private epochOf(slot: number): number {
    return (this.meta.get(`epoch/${slot}`) as number | undefined) ?? 0;
  }

  async openLane(lane: LaneId, start: number): Promise<LaneState> {
    const key = laneKey(lane);
    const known = this.laneRows.get(key);
    if (known !== undefined) return known.state;
    return this.write(() => {
      const existing = this.laneRows.get(key);
      if (existing !== undefined) return existing.state;
      const state = freshState(start);
      void this.laneRows.put(key, { lane: plainLane(lane), state });
      return state;
    });
  }

  loadLane(lane: LaneId): LaneState | undefined {
    return this.laneRows.get(laneKey(lane))?.state;
  }

  lanes(tenantId: string | undefined, of: "live" | "jobs"): LaneRow[] {
    const rows = this.laneRows.getRange(tenantRange(tenantId)).map(({ value }) => value);
    return [...rows].filter(({ lane }) => (lane.job === undefined) === (of === "live"));
  }

  /** A bounded number of records in one transaction; the lane itself goes with the last of them. */
  async dropLane(lane: LaneId): Promise<boolean> {
    const key = laneKey(lane);
    if (this.laneRows.get(key) === undefined) return false;
    for (let left = true; left; ) left = await this.write(() => this.dropSome(key));
    return true;
  }

  /** Whether there is more to drop. */
  private dropSome(key: string): boolean {
    const all = { start: [key, -1] as [string, number], end: [key, Number.MAX_SAFE_INTEGER] as [string, number] };
    let dropped = this.letters.drop(key, FORGET_AT_ONCE);
    for (const store of [this.settlements, this.amendments]) {
      for (const place of [...store.getKeys({ ...all, limit: FORGET_AT_ONCE })]) {
        dropped++;
        void store.remove(place);
      }
    }
    if (dropped > 0) return true;
    void this.forgotten.remove(key);
    void this.laneRows.remove(key);
    return false;
  }

  async commit(commits: readonly LaneCommit[]): Promise<PromiseSettledResult<void>[]> {
    return this.write(() =>
      commits.map((commit): PromiseSettledResult<void> => {
        const fault = this.settle(commit);
        return fault === undefined ? { status: "fulfilled", value: undefined } : { status: "rejected", reason: fault };
      }),
    );
  }

  /** Checks before it writes: a refused commit leaves no trace in the transaction of the others. */
  private settle({ lane, claim, settlement, deadLetters, redriven = [] }: LaneCommit): PulseGateError | undefined {
    const key = laneKey(lane);
    const row = this.laneRows.get(key);
    if (row === undefined) return fenced(key, "the lane does not exist");
    if (claim.slot !== slotOf(lane.stream) || claim.epoch !== this.epochOf(claim.slot)) {
      return fenced(key, `the claim on slot ${claim.slot} with epoch ${claim.epoch} is not the newest`);
    }
    if (settlement.from !== row.state.cursor || settlement.to < settlement.from) {
      return fenced(
        key,
        `the settlement of ${settlement.from} to ${settlement.to} does not start at the cursor ${row.state.cursor}`,
      );
    }
    void this.laneRows.put(key, { lane: row.lane, state: this.after(row, settlement, deadLetters) });
    void this.settlements.put([key, settlement.to], settlement);
    const { settledAt: at, configRevision } = settlement;
    for (const one of redriven) this.redriven(one, { at, job: lane.job, configRevision });
    return undefined;
  }

  /** Keeps the dead letters, but for those of events that were erased meanwhile; gives the lane's next state. */
  private after({ lane, state }: LaneRow, settlement: Settlement, deadLetters: readonly DeadLetter[]): LaneState {
    const key = laneKey(lane);
    let next = settled(state, settlement);
    for (const letter of deadLetters) {
      const { sequence } = letter;
      const at = this.erasures.at(streamKey(lane.stream), sequence);
      if (at === undefined) this.letters.put(key, letter);
      else {
        const outcome = { type: "erased" as const };
        next = amended(next, outcome);
        void this.amendments.put([key, sequence], { sequence, outcome, at });
      }
    }
    return next;
  }

  private redriven({ lane, sequence, outcome }: Redriven, stamp: Stamp): void {
    if (outcome.type !== "dead") return void this.amend({ lane, sequence }, outcome, stamp);
    const key = laneKey(lane);
    if (this.letters.has(key, sequence)) this.letters.put(key, outcome.deadLetter);
  }

  /** Gives a dead event another outcome; whether it was still dead. */
  private amend({ lane, sequence }: LetterId, outcome: AmendedOutcome, stamp: Stamp): boolean {
    const key = laneKey(lane);
    const row = this.laneRows.get(key);
    if (row === undefined || !this.letters.remove(key, sequence)) return false;
    void this.laneRows.put(key, { lane: row.lane, state: amended(row.state, outcome) });
    void this.amendments.put([key, sequence], { sequence, outcome, ...stamp });
    return true;
  }

  discard(
    letters: readonly LetterId[],
    { at, reason }: { readonly at: number; readonly reason: string },
  ): Promise<number> {
    return this.write(() => letters.filter((one) => this.amend(one, { type: "filtered", reason }, { at })).length);
  }

  /** Notes what is to be erased, before it is, and amends the dead letters, of these events and of those without a place. */
  erase(
    stream: Stream,
    { scrubs, sequences, at }: { scrubs: readonly Scrub[]; sequences: readonly number[]; at: number },
  ): Promise<Erased> {
    return this.write(() => {
      const letters = this.lanesOf(stream).flatMap((lane) => sequences.map((sequence) => ({ lane, sequence })));
      const gone = letters.filter((letter) => this.amend(letter, { type: "erased" }, { at }));
      return { events: this.erasures.note(scrubs), deadLetters: gone.length };
    });
  }

  passOver(lane: LaneId, before: number, stamp: { readonly at: number; readonly reason: string }): Promise<number> {
    const key = laneKey(lane);
    return this.write(() => {
      const row = this.laneRows.get(key);
      const settlement = row && passingOver(row.state, before, stamp);
      if (row === undefined || settlement === undefined) return 0;
      void this.laneRows.put(key, { lane: row.lane, state: settled(row.state, settlement) });
      void this.settlements.put([key, settlement.to], settlement);
      return settlement.to - settlement.from;
    });
  }

  private lanesOf(stream: Stream): LaneId[] {
    const lanes = this.laneRows.getRange(tenantRange(stream.tenantId)).map(({ value }) => value.lane);
    return [...lanes].filter((lane) => streamKey(lane.stream) === streamKey(stream));
  }

  settlement(lane: LaneId, sequence: number): Settlement | undefined {
    const key = laneKey(lane);
    for (const { value } of this.settlements.getRange({
      start: [key, sequence + 1],
      end: [key, Number.MAX_SAFE_INTEGER],
      limit: 1,
    })) {
      return value.from <= sequence ? value : undefined;
    }
    return undefined;
  }

  amendment(lane: LaneId, sequence: number): Amendment | undefined {
    return this.amendments.get([laneKey(lane), sequence]);
  }

  deadLetters(query: DeadLetterQuery): DeadLetter[] {
    const { after, lane: only, limit } = query;
    const found: DeadLetter[] = [];
    const behind = after === undefined ? undefined : laneKey(after.lane);
    for (const { key, value } of this.laneRows.getRange(tenantRange(only?.stream.tenantId ?? query.tenantId))) {
      if (found.length >= limit) break;
      if (behind !== undefined && key < behind) continue;
      if (only !== undefined && key !== laneKey(only)) continue;
      if (query.sink !== undefined && value.lane.sink !== query.sink) continue;
      const place = { after: key === behind ? (after?.sequence ?? -1) : -1, limit: limit - found.length };
      found.push(...this.letters.page(key, query, place));
    }
    return found;
  }

  deadLetter(lane: LaneId, sequence: number): DeadLetter | undefined {
    return this.letters.get(laneKey(lane), sequence);
  }

  async deadLetterGroups(range: DeadLetterRange): Promise<DeadLetterGroup[]> {
    const counts: { lane: LaneId; count: GroupCount }[] = [];
    const rows = this.laneRows.getRange(tenantRange(range.lane?.stream.tenantId ?? range.tenantId));
    // All at once: the event loop has its turns in between, and with them others their transactions.
    for (const { key, lane } of [...rows.map((row) => ({ key: row.key, lane: row.value.lane }))]) {
      if (range.lane !== undefined && key !== laneKey(range.lane)) continue;
      if (range.sink !== undefined && lane.sink !== range.sink) continue;
      for (const count of await this.letters.counted(key, range)) counts.push({ lane, count });
    }
    return groupsOf(counts);
  }

  /** In one turn of the event loop, so that all of it is read as of one moment. */
  recount(lane: LaneId): Recount | undefined {
    const key = laneKey(lane);
    const state = this.laneRows.get(key)?.state;
    if (state === undefined) return undefined;
    let recounted = this.forgotten.get(key) ?? freshState(state.start);
    const all = { start: [key, -1] as [string, number], end: [key, Number.MAX_SAFE_INTEGER] as [string, number] };
    for (const { value } of this.settlements.getRange(all)) recounted = settled(recounted, value);
    for (const { value } of this.amendments.getRange(all)) recounted = amended(recounted, value.outcome);
    return { state, recounted, deadLetters: this.letters.count(key) };
  }

  /** Drops the settlements of events that are no longer stored, a bounded number in one transaction. */
  async forgetSettlements(ends: ReadonlyMap<StreamKey, number>): Promise<void> {
    for (const { lane } of [...this.laneRows.getRange({}).map(({ value }) => value)]) {
      const end = ends.get(streamKey(lane.stream));
      if (end !== undefined) await this.forgetSettlementsOf(laneKey(lane), end);
    }
    for (const [key, end] of ends) await this.erasures.forget(key, end);
  }

  /** What they counted is kept as a sum, so that a recount still comes out. */
  private async forgetSettlementsOf(key: string, end: number): Promise<void> {
    const range = { start: [key, -1] as [string, number], end: [key, end + 1] as [string, number] };
    for (let left = true; left; ) {
      left = await this.write(() => {
        const start = this.laneRows.get(key)?.state.start ?? 0;
        let sum = this.forgotten.get(key) ?? freshState(start);
        const old = [...this.settlements.getRange({ ...range, limit: FORGET_AT_ONCE })];
        const changed = [...this.amendments.getRange({ ...range, limit: FORGET_AT_ONCE })];
        if (old.length + changed.length === 0) return false;
        for (const { key: place, value } of old) {
          sum = settled(sum, value);
          void this.settlements.remove(place);
        }
        for (const { key: place, value } of changed) {
          sum = amended(sum, value.outcome);
          void this.amendments.remove(place);
        }
        void this.forgotten.put(key, sum);
        return old.length === FORGET_AT_ONCE || changed.length === FORGET_AT_ONCE;
      });
    }
  }

  /** Of a version that kept dead letters as they are, with what they said in free pages. */
  get isPlain(): boolean {
    return this.meta.get("letters") !== "sealed" && this.laneRows.getKeysCount({ limit: 1 }) > 0;
  }

  /** Seals the dead letters of such a version, in steps. */
  async sealLetters(): Promise<void> {
    let from: Place | undefined;
    do from = await this.write(() => this.letters.sealSome(from, FORGET_AT_ONCE));
    while (from !== undefined);
  }

  /** From here on no dead letter is, or was, kept as it is. */
  async putSealed(): Promise<void> {
    await this.write(() => void this.meta.put("letters", "sealed"));
  }

  /** Overwrites the keys of dead letters that are gone: what they said can be read nowhere any more. One call at a time. */
  async forgetKeys(): Promise<void> {
    const { keys } = this.letters;
    for (let spent = keys.spent(FORGET_AT_ONCE); spent.length > 0; spent = keys.spent(FORGET_AT_ONCE)) {
      keys.overwrite(spent);
      await this.write(() => keys.free(spent));
    }
  }

  /** Writes all that it holds, and nothing that it freed, to a file in this folder, durably. */
  async copyTo(folder: string): Promise<void> {
    await this.env.backup(folder, true);
  }

  /** How the log was closed; undefined after a crash. */
  cleanEnd(): CleanEnd | undefined {
    return this.meta.get("clean") as CleanEnd | undefined;
  }

  /** From here on only a clean close tells again. */
  async clearCleanEnd(): Promise<void> {
    await this.write(() => {
      void this.meta.remove("clean");
    });
  }

  async putCleanEnd(end: CleanEnd): Promise<void> {
    await this.write(() => {
      void this.meta.put("clean", end);
    });
  }

  async close(): Promise<void> {
    this.letters.keys.close();
    await this.env.close();
  }

  private async write<T>(action: () => T): Promise<T> {
    try {
      // A child transaction: what a thrown error leaves half done is rolled back, without undoing others' writes.
      return await this.env.childTransaction(action);
    } catch (cause) {
      if (cause instanceof PulseGateError) throw cause;
      throw new PulseGateError(
        "log_unavailable",
        "The state of the log can't be written. The outcome is unknown; try again.",
        { cause },
      );
    }
  }
}

export const ALL_SLOTS: readonly number[] = Array.from({ length: SLOT_COUNT }, (_, slot) => slot);

function fenced(key: string, why: string): PulseGateError {
  return new PulseGateError("fenced", `Lane ${key}: ${why}.`);
}
