/**
 * The log port: all that PulseGate remembers lives behind it. Three drivers implement it
 * (embedded, Redis Streams, Kafka) and one conformance suite (`tests/conformance/log.ts`) holds
 * them to what stands here. Every method may reject with a `PulseGateError`; `log_unavailable`
 * means that the outcome is unknown and the call may be repeated.
 */

/** One tenant's ordered events in one partition. */
export interface Stream {
  readonly tenantId: string;
  readonly partition: number;
}

/** `tenant/partition`: the text form of a stream, and its key in maps. */
export type StreamKey = string;

export function streamKey(stream: Stream): StreamKey {
  return `${stream.tenantId}/${stream.partition}`;
}

/** A place in a stream. Sequences start at 0 and rise; `tenant/partition/sequence` in text. */
export interface Position {
  readonly stream: Stream;
  readonly sequence: number;
}

export function formatPosition(stream: Stream, sequence: number): string {
  return `${stream.tenantId}/${stream.partition}/${sequence}`;
}

const POSITION_PATTERN = /^([A-Za-z0-9_.:-]{1,128})\/(\d{1,9})\/(\d{1,15})$/;

export function parsePosition(text: string): Position | undefined {
  const match = POSITION_PATTERN.exec(text);
  if (match === null) return undefined;
  return { stream: { tenantId: match[1] as string, partition: Number(match[2]) }, sequence: Number(match[3]) };
}

/**
 * Streams are spread over a fixed number of slots; a worker owns slots, not streams.
 * Fixed for the life of a log: claims and keys of shared backends are made from it.
 */
export const SLOT_COUNT = 64;

/** FNV-1a of the stream key, modulo the number of slots. */
export function slotOf(stream: Stream): number {
  const key = streamKey(stream);
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % SLOT_COUNT;
}

/** An event on its way into the log. */
export interface AppendEntry {
  readonly stream: Stream;
  readonly eventId: string;
  readonly idempotencyKey?: string | undefined;
  /** The tenant's share of the queue before the log when that is long; 1 when undefined. A driver may ignore it. */
  readonly weight?: number | undefined;
  /** Canonical bytes (see codec.ts), not stamped yet. The log owns them from here on and stamps `received_at`. */
  readonly bytes: Buffer;
}

/** What became of an appended entry. Known only once it is durable. */
export type Appended =
  | { readonly type: "appended"; readonly sequence: number; readonly receivedAt: number }
  /** The id or key was taken within the window by an event with the same content; `stream` and the rest are the first's. */
  | {
      readonly type: "duplicate";
      readonly stream: Stream;
      readonly sequence: number;
      readonly receivedAt: number;
      readonly eventId: string;
    }
  /**
   * The id or key was taken within the window by an event with other content. Nothing was stored.
   * `field` is the key when both events have the same, else the id: an id may have been made of the key.
   */
  | { readonly type: "conflict"; readonly field: "event_id" | "idempotency_key"; readonly eventId: string };

/** A stored event. */
export interface LogEntry {
  readonly sequence: number;
  /** Milliseconds since the epoch; never falls within a stream. */
  readonly receivedAt: number;
  /** Canonical bytes, stamped. Not to be changed: readers may share them. */
  readonly bytes: Buffer;
  /** When the payload was erased, in milliseconds since the epoch, to the second: `{}` stands in its place. */
  readonly erasedAt?: number | undefined;
}

export interface ReadLimits {
  /** At most so many entries. */
  readonly entries: number;
  /** Stop after the entry that passes so many bytes; at least one entry is returned if there is one. */
  readonly bytes: number;
}

export interface StreamBounds {
  /** The first sequence that is still stored; equal to `end` when none is. */
  readonly first: number;
  /** One past the last durable sequence: the next to be given out. */
  readonly end: number;
}

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

export interface DeadLetterQuery extends DeadLetterFilter {
  /** Accepted at this time or later, in milliseconds since the epoch. */
  readonly receivedFrom?: number | undefined;
  /** Accepted before this time. */
  readonly receivedTo?: number | undefined;
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
  readonly events: number;
  /** When the first and the last of them died, in milliseconds since the epoch; may reach back to letters that are gone. */
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

/** The front half: what the door needs. */
export interface LogWriter {
  /** Set when an operator lets the log's backend be one that may lose accepted events; each acknowledgement says so. */
  readonly durability?: "relaxed" | undefined;
  /**
   * Stores entries, all or none of each call's new ones becoming durable before it resolves;
   * results in the order of the entries. Deduplicates by (tenant, event id) and (tenant, idempotency
   * key) within the window, in the same atomic step, also among the entries of one call.
   * An entry that repeats one not yet durable waits for it.
   * Rejects with `log_full` or `log_unavailable`: what was stored is then unknown, and a repeat with
   * the same ids is safe.
   */
  append(entries: readonly AppendEntry[]): Promise<Appended[]>;
  /** Resolves when a write has just become durable: what `/readyz` is proven by. */
  probe(): Promise<void>;
}

/** Reading, for lanes and fates. */
export interface LogReader {
  /** Durable entries from sequence `from` on, in order. Empty at the end; never waits. Starts at the first stored entry if `from` was trimmed. */
  read(stream: Stream, from: number, limits: ReadLimits): Promise<LogEntry[]>;
  /**
   * Wake-ups without polling: streams of the given slots that got entries since the last yield,
   * each at least once after its entries became readable. Yields nothing while nothing comes.
   * Counts from this call on, not from the first `next()`: call it, then read to the end, then wait.
   * Streams that had entries before the call are not announced.
   */
  arrivals(slots: ReadonlySet<number>, signal: AbortSignal): AsyncIterable<readonly Stream[]>;
  /** The first position at or after a time of acceptance (ms since the epoch); the end if there is none. */
  seek(stream: Stream, receivedAt: number): Promise<number>;
  bounds(stream: Stream): Promise<StreamBounds>;
  /** Where the event with this id (or derived id) of this tenant lies, if it is still stored. */
  find(tenantId: string, eventId: string): Promise<(Position & { readonly receivedAt: number }) | undefined>;
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
  /** Ordered by tenant, sink, then fingerprint. Read from counters: what it costs does not grow with the letters. */
  deadLetterGroups(filter: DeadLetterFilter): Promise<DeadLetterGroup[]>;
  /**
   * Removes dead letters that nobody will redrive: their events are `filtered` from then on, with this
   * reason. One atomic step for all; those that are not there are passed over. Returns how many were.
   */
  discard(letters: readonly LetterId[], stamp: { readonly at: number; readonly reason: string }): Promise<number>;
  /** What was changed of an event's outcome on a lane after it was settled. Kept as long as the settlement. */
  amendment(lane: LaneId, sequence: number): Promise<Amendment | undefined>;
  /** Makes the lane's counters anew, out of all that was kept of it, as of one moment. */
  recount(lane: LaneId): Promise<Recount | undefined>;
}

/** Small documents that processes share: config revisions and the like. Compare-and-set by version. */
export interface ControlStore {
  get(key: string): Promise<{ readonly value: unknown; readonly version: number } | undefined>;
  /** `version`: the one read, 0 for a key that must not exist yet. Returns the new version; rejects with `version_conflict`. */
  put(key: string, value: unknown, version: number): Promise<number>;
  list(
    prefix: string,
  ): Promise<ReadonlyArray<{ readonly key: string; readonly value: unknown; readonly version: number }>>;
}

/** What was not erased before. */
export interface Erased {
  readonly events: number;
  readonly deadLetters: number;
}

export interface ErasingLog {
  /**
   * Takes the payloads of these events out of the log's events, for good. What stays is the event's place,
   * its canonical bytes without the payload, and its names: a repeat is a duplicate, whatever its content.
   * Dead letters of these events, of any lane, are amended to `erased` and removed, also of trimmed events; one
   * that a commit brings later is counted so and not kept. Sequences that are not stored are passed over.
   * When this rejects, or the process dies, it may be done in part, and the next start of the log ends it.
   */
  erase(stream: Stream, sequences: readonly number[], at: number): Promise<Erased>;
}

export interface IngestionLog extends LogWriter, LogReader, LaneStore {
  readonly control: ControlStore;
  /** All streams that were ever appended to, whether anything of them is still stored or not. */
  knownStreams(): Promise<readonly Stream[]>;
  /**
   * Lets go of entries with sequence < `before`. Never called beyond what every lane has settled;
   * the driver frees space when it can, and may keep some longer. `bounds().first` tells.
   */
  trim(stream: Stream, before: number): Promise<void>;
  close(): Promise<void>;
}
