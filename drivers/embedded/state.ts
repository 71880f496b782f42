import { open, type RootDatabase } from "lmdb";
import { PulseGateError } from "../../core/canonical/errors.ts";
import {
  type Claim,
  type ControlStore,
  type DeadLetter,
  type DeadLetterQuery,
  type LaneCommit,
  type LaneId,
  laneKey,
  type LaneState,
  type Settlement,
  SLOT_COUNT,
  slotOf,
  type StreamKey,
  streamKey,
} from "../../core/ingestion/log.ts";

const FORGET_AT_ONCE = 1_000;

type LaneRow = { readonly lane: LaneId; readonly state: LaneState };
type StoredControl = { readonly value: unknown; readonly version: number };

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
  private readonly env: RootDatabase;
  private readonly laneRows;
  private readonly settlements;
  private readonly letters;
  private readonly controls;
  private readonly meta;

  constructor(path: string) {
    // overlappingSync would resolve writes before the sync that covers them (a trap of lmdb 3.5).
    this.env = open({ path, maxDbs: 8, overlappingSync: false, noSubdir: false });
    this.laneRows = this.env.openDB<LaneRow, string>({ name: "lanes" });
    this.settlements = this.env.openDB<Settlement, [string, number]>({ name: "settlements" });
    this.letters = this.env.openDB<DeadLetter, [string, number]>({ name: "dead-letters" });
    this.controls = this.env.openDB<StoredControl, string>({ name: "control" });
    this.meta = this.env.openDB<unknown, string>({ name: "meta" });
    this.control = this.controlStore();
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
      const state: LaneState = { start, cursor: start, delivered: 0, filtered: {}, dead: 0, erased: 0 };
      void this.laneRows.put(key, { lane: plainLane(lane), state });
      return state;
    });
  }

  loadLane(lane: LaneId): LaneState | undefined {
    return this.laneRows.get(laneKey(lane))?.state;
  }

  lanes(tenantId?: string): LaneRow[] {
    return [...this.laneRows.getRange(tenantRange(tenantId)).map(({ value }) => value)];
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
  private settle({ lane, claim, settlement, deadLetters }: LaneCommit): PulseGateError | undefined {
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
    void this.laneRows.put(key, { lane: row.lane, state: advance(row.state, settlement) });
    void this.settlements.put([key, settlement.to], settlement);
    for (const letter of deadLetters) void this.letters.put([key, letter.sequence], letter);
    return undefined;
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

  deadLetters(query: DeadLetterQuery): DeadLetter[] {
    const found: DeadLetter[] = [];
    const after =
      query.after === undefined ? undefined : { key: laneKey(query.after.lane), sequence: query.after.sequence };
    for (const key of this.laneRows.getKeys(tenantRange(query.tenantId))) {
      if (found.length >= query.limit) break;
      if (after !== undefined && key < after.key) continue;
      if (query.sink !== undefined && key.slice(key.lastIndexOf("/") + 1) !== query.sink) continue;
      const start = after?.key === key ? after.sequence + 1 : 0;
      const range = this.letters.getRange({
        start: [key, start],
        end: [key, Number.MAX_SAFE_INTEGER],
        limit: query.limit - found.length,
      });
      for (const { value } of range) found.push(detached(value));
    }
    return found;
  }

  deadLetter(lane: LaneId, sequence: number): DeadLetter | undefined {
    const letter = this.letters.get([laneKey(lane), sequence]);
    return letter === undefined ? undefined : detached(letter);
  }

  /** Drops the settlements of events that are no longer stored, a bounded number in one transaction. */
  async forgetSettlements(ends: ReadonlyMap<StreamKey, number>): Promise<void> {
    for (const { lane } of this.lanes()) {
      const end = ends.get(streamKey(lane.stream));
      if (end !== undefined) await this.forgetSettlementsOf(laneKey(lane), end);
    }
  }

  private async forgetSettlementsOf(key: string, end: number): Promise<void> {
    let keys: Array<[string, number]>;
    do {
      keys = [...this.settlements.getKeys({ start: [key, 0], end: [key, end + 1], limit: FORGET_AT_ONCE })];
      const some = keys;
      if (some.length > 0) await this.write(() => some.forEach((one) => void this.settlements.remove(one)));
    } while (keys.length === FORGET_AT_ONCE);
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

  private controlStore(): ControlStore {
    const { controls } = this;
    return {
      get: async (key) => controls.get(key),
      put: (key, value, version) =>
        this.write(() => {
          const current = controls.get(key)?.version ?? 0;
          if (current !== version)
            throw new PulseGateError("version_conflict", `"${key}" is at version ${current}, not ${version}.`);
          void controls.put(key, { value, version: version + 1 });
          return version + 1;
        }),
      list: async (prefix) => [
        ...controls
          .getRange({ start: prefix, end: `${prefix}\uffff` })
          .map(({ key, value }) => ({ key, value: value.value, version: value.version })),
      ],
    };
  }
}

export const ALL_SLOTS: readonly number[] = Array.from({ length: SLOT_COUNT }, (_, slot) => slot);

function plainLane(lane: LaneId): LaneId {
  return { stream: { tenantId: lane.stream.tenantId, partition: lane.stream.partition }, sink: lane.sink };
}

/** Keys of one tenant: "/" is followed by "0" in ASCII. */
function tenantRange(tenantId: string | undefined): { start?: string; end?: string } {
  return tenantId === undefined ? {} : { start: `${tenantId}/`, end: `${tenantId}0` };
}

function advance(state: LaneState, settlement: Settlement): LaneState {
  let { dead, erased } = state;
  let delivered = state.delivered + settlement.to - settlement.from;
  const filtered: Record<string, number> = { ...state.filtered };
  for (const exception of settlement.exceptions) {
    const count = exception.to - exception.from;
    delivered -= count;
    if (exception.outcome === "dead") dead += count;
    else if (exception.outcome === "erased") erased += count;
    else filtered[exception.reason] = (filtered[exception.reason] ?? 0) + count;
  }
  return { start: state.start, cursor: settlement.to, delivered, filtered, dead, erased };
}

/** What LMDB decodes may lie in memory that the next read reuses. */
function detached(letter: DeadLetter): DeadLetter {
  return { ...letter, bytes: Buffer.from(letter.bytes) };
}

function fenced(key: string, why: string): PulseGateError {
  return new PulseGateError("fenced", `Lane ${key}: ${why}.`);
}
