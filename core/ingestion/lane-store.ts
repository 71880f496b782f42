import { type Stream, streamKey } from "./stream.ts";

/** The back half of the log port, see `log.ts`: lanes, what they settled, and their dead letters. */

/** Where one sink stands in one stream. */
export interface LaneId {
  readonly stream: Stream;
  readonly sink: string;
  /** Set for a lane of a job (see `jobs.ts`): beside the sink's live lane, with a cursor of its own. */
  readonly job?: string | undefined;
}

/** `tenant/partition/sink`, and `@job` for a lane of a job. */
export function laneKey({ stream, sink, job }: LaneId): string {
  return job === undefined ? `${streamKey(stream)}/${sink}` : `${streamKey(stream)}/${sink}@${job}`;
}

/**
 * Counted in the same commit as the cursor: cursor − start = delivered + Σ filtered + dead + erased, always.
 * `dead` is the number of dead letters that the lane has: one that is redriven or discarded is counted anew.
 */
export interface LaneState {
  /** The first sequence that this lane is responsible for. */
  readonly start: number;
  /** One past the last settled sequence: all before it are settled, durably. */
  readonly cursor: number;
  readonly delivered: number;
  /** By reason. */
  readonly filtered: Readonly<Record<string, number>>;
  readonly dead: number;
  readonly erased: number;
}

/** A run of sequences `from ≤ s < to` in a settlement that were not simply delivered. */
export type SettlementException =
  | { readonly from: number; readonly to: number; readonly outcome: "filtered"; readonly reason: string }
  | { readonly from: number; readonly to: number; readonly outcome: "dead" }
  | { readonly from: number; readonly to: number; readonly outcome: "erased" };

/** One commit of a lane: sequences `from ≤ s < to` are settled. What no exception names was delivered. */
export interface Settlement {
  readonly from: number;
  readonly to: number;
  readonly exceptions: readonly SettlementException[];
  readonly configRevision: number;
  /** Milliseconds since the epoch. */
  readonly settledAt: number;
}

export interface Attempt {
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** What the sink or transform said. */
  readonly reason: string;
  /** The job whose attempt it was. */
  readonly job?: string | undefined;
}

/** An event that one lane gave up on, kept with all one needs to understand and redrive it. */
export interface DeadLetter {
  readonly lane: LaneId;
  readonly sequence: number;
  readonly eventId: string;
  readonly eventType: string;
  readonly receivedAt: number;
  readonly diedAt: number;
  /** `decode`, `transform NAME`, `route`, `sink NAME`. */
  readonly stage: string;
  /** Stable code of the failure, e.g. a SQLSTATE or an HTTP status; `plugin_error` when there is none. */
  readonly code: string;
  readonly message: string;
  /** Equal for failures alike: see `fingerprintOf`. */
  readonly fingerprint: string;
  /** What the sink answered, capped. */
  readonly response?: string | undefined;
  /** The latest, those of redrives included. */
  readonly attempts: readonly Attempt[];
  readonly configRevision: number;
  /** Plugin name → version, of the lane's chain and sink. */
  readonly plugins: Readonly<Record<string, string>>;
  /** Canonical bytes of the event as it was accepted. */
  readonly bytes: Buffer;
}

/** A right to commit the lanes of one slot. A newer claim on the slot has a higher epoch and fences this one. */
export interface Claim {
  readonly slot: number;
  readonly epoch: number;
}

/** The slots of one worker, as they come and go. */
export interface Claims {
  /** All claims held now: at once, then again after every change. Ends when the signal aborts or after `release`. */
  held(signal: AbortSignal): AsyncIterable<readonly Claim[]>;
  /** Gives all slots back, for others to take at once. */
  release(): Promise<void>;
}

export interface LaneCommit {
  readonly lane: LaneId;
  readonly claim: Claim;
  readonly settlement: Settlement;
  /** One for each sequence with outcome `dead`. */
  readonly deadLetters: readonly DeadLetter[];
  /** Dead letters of another lane of the same slot, and what this lane made of them. */
  readonly redriven?: readonly Redriven[] | undefined;
}

/** A dead letter by its place. */
export interface LetterId {
  readonly lane: LaneId;
  readonly sequence: number;
}

/**
 * What became of a dead letter that was tried again. Counts for nothing, and changes nothing, when the
 * letter is not there any more.
 */
export interface Redriven extends LetterId {
  /** `dead`: it failed again, and this letter with all of its history takes the place of the old one. */
  readonly outcome: AmendedOutcome | { readonly type: "dead"; readonly deadLetter: DeadLetter };
}

export type AmendedOutcome =
  | { readonly type: "delivered" }
  | { readonly type: "filtered"; readonly reason: string }
  | { readonly type: "erased" };

/** That an event's outcome on a lane was changed after it was settled as `dead`: redriven, discarded, erased. */
export interface Amendment {
  readonly sequence: number;
  readonly outcome: AmendedOutcome;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly job?: string | undefined;
  readonly configRevision?: number | undefined;
}

/** Which dead letters; what is absent does not matter. */
export interface DeadLetterFilter {
  readonly tenantId?: string | undefined;
  /** Of the sink's live lane and of its lanes of jobs. */
  readonly sink?: string | undefined;
  readonly stage?: string | undefined;
  readonly fingerprint?: string | undefined;
  readonly eventType?: string | undefined;
  /** Of this lane alone. */
  readonly lane?: LaneId | undefined;
}

/** The same, of a time. */
export interface DeadLetterRange extends DeadLetterFilter {
  /** Accepted at this time or later, in milliseconds since the epoch. */
  readonly receivedFrom?: number | undefined;
  /** Accepted before this time. */
  readonly receivedTo?: number | undefined;
}

export interface DeadLetterQuery extends DeadLetterRange {
  /** Continue behind this one (from the last page). */
  readonly after?: LetterId | undefined;
  readonly limit: number;
}

/** Dead letters of one tenant and sink that failed alike. */
export interface DeadLetterGroup {
  readonly tenantId: string;
  readonly sink: string;
  readonly fingerprint: string;
  readonly stage: string;
  readonly code: string;
  /** Of the newest that came to the group. */
  readonly message: string;
  /** Those that were asked for. */
  readonly events: number;
  /**
   * When the first and the last letter of the kind died, in milliseconds since the epoch, whatever range is asked for:
   * since when it goes wrong. A letter that fails again does not move the first; it may reach back to letters that are gone.
   */
  readonly firstAt: number;
  readonly lastAt: number;
  /** Event type → letters. */
  readonly eventTypes: Readonly<Record<string, number>>;
}

/** A lane's counters, and the same made anew from its settlements and what amended them. */
export interface Recount {
  readonly state: LaneState;
  readonly recounted: LaneState;
  /** Dead letters that are really there. */
  readonly deadLetters: number;
}

/** Lanes, settlements, dead letters: the back half's memory. */
export interface LaneStore {
  claims(workerId: string): Promise<Claims>;
  /** Creates the lane if it does not exist, atomically, with its cursor there; an existing one stays as it is. */
  openLane(lane: LaneId, start: "tail" | "start" | number): Promise<LaneState>;
  loadLane(lane: LaneId): Promise<LaneState | undefined>;
  /**
   * Forgets a lane: its cursor and counters, its settlements and amendments, its dead letters. A commit of
   * it that is under way is `fenced`; opened again it begins anew. Whether it was there. When this rejects
   * the lane may have lost a part of that; it is still listed, and the call can be repeated.
   */
  dropLane(lane: LaneId): Promise<boolean>;
  /** The live lanes. */
  lanes(tenantId?: string): Promise<ReadonlyArray<{ readonly lane: LaneId; readonly state: LaneState }>>;
  /** The lanes of jobs. */
  jobLanes(tenantId?: string): Promise<ReadonlyArray<{ readonly lane: LaneId; readonly state: LaneState }>>;
  /**
   * Moves cursors, adds to the counters, keeps the settlement and the dead letters, amends what was
   * redriven: one atomic, durable step for each commit. Rejects with `fenced`, and changes nothing of that lane, when the
   * claim is not the newest of its slot or when `settlement.from` is not the lane's cursor.
   * The rejection of one commit does not undo the others of the call; results in order.
   */
  commit(commits: readonly LaneCommit[]): Promise<PromiseSettledResult<void>[]>;
  /** The settlement that covers a sequence, if that was settled. */
  settlement(lane: LaneId, sequence: number): Promise<Settlement | undefined>;
  /** Ordered by lane key, then sequence. */
  deadLetters(query: DeadLetterQuery): Promise<DeadLetter[]>;
  deadLetter(lane: LaneId, sequence: number): Promise<DeadLetter | undefined>;
  /**
   * Ordered by tenant, sink, then fingerprint. Read from counters: what it costs does not grow with the letters;
   * of a range they are counted, without being read.
   */
  deadLetterGroups(range: DeadLetterRange): Promise<DeadLetterGroup[]>;
  /**
   * Removes dead letters that nobody will redrive: their events are `filtered` from then on, with this
   * reason. One atomic step for all of one tenant; those that are not there are passed over. Returns how many were.
   * When it rejects, it may be done for some of the tenants: the call can be repeated, and does the rest.
   */
  discard(letters: readonly LetterId[], stamp: { readonly at: number; readonly reason: string }): Promise<number>;
  /** What was changed of an event's outcome on a lane after it was settled. Kept as long as the settlement. */
  amendment(lane: LaneId, sequence: number): Promise<Amendment | undefined>;
  /** Makes the lane's counters anew, out of all that was kept of it, as of one moment. */
  recount(lane: LaneId): Promise<Recount | undefined>;
}
