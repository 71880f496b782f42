import type {
  Amendment,
  Claims,
  ControlStore,
  DeadLetter,
  DeadLetterGroup,
  DeadLetterQuery,
  DeadLetterRange,
  LaneCommit,
  LaneId,
  LaneState,
  LaneStore,
  LetterId,
  Recount,
  Settlement,
  Stream,
  StreamBounds,
} from "../../core/ingestion/log.ts";
import { SlotClaims } from "./claims.ts";
import type { StateStore } from "./state.ts";

/** The half of the log that lives in LMDB, the same for the owner and for attached threads. */
export abstract class StoredLanes implements LaneStore {
  readonly control: ControlStore;
  protected readonly state: StateStore;
  protected readonly slotClaims: SlotClaims;

  /** `slots`: those that this owner or thread may claim. */
  constructor(state: StateStore, slots: readonly number[]) {
    this.state = state;
    this.control = state.control;
    this.slotClaims = new SlotClaims(state, slots);
  }

  abstract bounds(stream: Stream): Promise<StreamBounds>;

  claims(_workerId: string): Promise<Claims> {
    return this.slotClaims.claims();
  }

  async openLane(lane: LaneId, start: "tail" | "start" | number): Promise<LaneState> {
    if (typeof start === "number") return this.state.openLane(lane, start);
    const { first, end } = await this.bounds(lane.stream);
    return this.state.openLane(lane, start === "tail" ? end : first);
  }

  async loadLane(lane: LaneId): Promise<LaneState | undefined> {
    return this.state.loadLane(lane);
  }

  dropLane(lane: LaneId): Promise<boolean> {
    return this.state.dropLane(lane);
  }

  async lanes(tenantId?: string) {
    return this.state.lanes(tenantId, "live");
  }

  async jobLanes(tenantId?: string) {
    return this.state.lanes(tenantId, "jobs");
  }

  commit(commits: readonly LaneCommit[]): Promise<PromiseSettledResult<void>[]> {
    return this.state.commit(commits);
  }

  async settlement(lane: LaneId, sequence: number): Promise<Settlement | undefined> {
    return this.state.settlement(lane, sequence);
  }

  async deadLetters(query: DeadLetterQuery): Promise<DeadLetter[]> {
    return this.state.deadLetters(query);
  }

  async deadLetter(lane: LaneId, sequence: number): Promise<DeadLetter | undefined> {
    return this.state.deadLetter(lane, sequence);
  }

  async deadLetterGroups(range: DeadLetterRange): Promise<DeadLetterGroup[]> {
    return this.state.deadLetterGroups(range);
  }

  discard(letters: readonly LetterId[], stamp: { readonly at: number; readonly reason: string }): Promise<number> {
    return this.state.discard(letters, stamp);
  }

  async amendment(lane: LaneId, sequence: number): Promise<Amendment | undefined> {
    return this.state.amendment(lane, sequence);
  }

  async recount(lane: LaneId): Promise<Recount | undefined> {
    return this.state.recount(lane);
  }
}
