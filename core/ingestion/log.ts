/**
 * The log port: all that PulseGate remembers lives behind it. Three drivers implement it
 * (embedded, Redis Streams, Kafka) and one conformance suite (`tests/conformance/log.ts`) holds
 * them to what stands here. Every method may reject with a `PulseGateError`; `log_unavailable`
 * means that the outcome is unknown and the call may be repeated.
 */
import type { LaneId, LaneStore } from "./lane-store.ts";
import type { Position, Stream } from "./stream.ts";

export * from "./lane-store.ts";
export * from "./stream.ts";

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

/** Small documents that processes share: config revisions and the like. Compare-and-set by version. */
export interface ControlStore {
  get(key: string): Promise<{ readonly value: unknown; readonly version: number } | undefined>;
  /** `version`: the one read, 0 for a key that must not exist yet. Returns the new version; rejects with `version_conflict`. */
  put(key: string, value: unknown, version: number): Promise<number>;
  /**
   * Forgets a document at this version; rejects with `version_conflict` when it is at another. One of the same
   * key that is made later begins with version 1 again.
   */
  remove(key: string, version: number): Promise<void>;
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

export interface DiskUse {
  readonly usedBytes: number;
  /** What was let go of is being freed: it takes up less soon. */
  readonly isFreeing: boolean;
  /** What it is to stay below; undefined without a bound. */
  readonly bytesMax?: number | undefined;
  /** Where it stops to take in events, to keep room for its own work; undefined without a bound. */
  readonly fullAtBytes?: number | undefined;
}

export interface IngestionLog extends LogWriter, LogReader, LaneStore {
  readonly control: ControlStore;
  /** All streams that were ever appended to, whether anything of them is still stored or not. */
  knownStreams(): Promise<readonly Stream[]>;
  /**
   * Lets go of entries with sequence < `before`. Never called beyond what every lane has settled or passed
   * over; the driver frees space when it can, and may keep some longer. `bounds().first` tells.
   */
  trim(stream: Stream, before: number): Promise<void>;
  /**
   * Moves a lane to `before`, or to the stream's end, if its cursor is not there yet: what it had not settled is
   * `filtered` with this reason, in a settlement of its own. One atomic step, whoever has the claim; a commit of
   * the lane that is under way is `fenced`. How many events that was.
   */
  passOver(lane: LaneId, before: number, stamp: { readonly at: number; readonly reason: string }): Promise<number>;
  /** Canonical bytes of the stored entries of a stream, from `bounds().first` on; drivers may round and estimate. */
  storedBytes(stream: Stream): Promise<number>;
  /** The first sequence from which on no more than so many bytes are stored; `bounds().end` when the last entry is larger. */
  seekBytes(stream: Stream, bytes: number): Promise<number>;
  /** The storage that the log takes up; undefined where that is for its backend to tell. */
  diskUse(): Promise<DiskUse | undefined>;
  close(): Promise<void>;
}
