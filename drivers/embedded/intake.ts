import { contentOf } from "../../core/canonical/codec.ts";
import { PulseGateError } from "../../core/canonical/errors.ts";
import type { AppendEntry, Appended } from "../../core/ingestion/log.ts";
import type { Appender, QueuedEntry } from "./appender.ts";
import { BLOCK_HEADER_BYTES, frameBytes, SEGMENT_HEADER_BYTES } from "./segment-format.ts";
import type { StreamState, StreamTable } from "./streams.ts";
import type { StoredRecord } from "./records.ts";

/** Looks an id up among the durable events. */
export interface RepeatFinder {
  /** Undefined: no durable event has this name. Costs no I/O. */
  suspect(entry: PendingEntry, field: NameField): Suspicion | undefined;
}

/** A name that a durable event may have. */
export interface Suspicion {
  /** Differs when events were added that may have the name. */
  readonly version: number;
  /** The newest event within the window that has it, if there is one. */
  resolve(): Promise<StoredRecord | undefined>;
}

/** What was found of a suspicion, and as of when. */
interface Finding {
  readonly version: number;
  readonly first: StoredRecord | undefined;
}

export type NameField = "event_id" | "idempotency_key";

interface Call {
  readonly results: Appended[];
  missing: number;
  readonly resolve: (results: Appended[]) => void;
  readonly reject: (error: unknown) => void;
}

/** An entry that a call waits for: to be written, or to learn that it is a repeat. */
export class PendingEntry implements QueuedEntry {
  readonly entry: AppendEntry;
  readonly stream: StreamState;
  readonly call: Call;
  readonly index: number;
  frameBytes = 0;
  queuedAt = 0;
  sequence = 0;
  receivedAt = 0;
  segment = 0;
  frameOffset = 0;
  bodyOffset = 0;
  idHi = 0;
  idLo = 0;
  keyHi = 0;
  keyLo = 0;
  /** Entries that repeat this one's id or key and share its fate. */
  repeats: PendingEntry[] | undefined;
  byId: Finding | undefined;
  byKey: Finding | undefined;
  /** Next in the table of pending names, by id and by key. */
  nextById: PendingEntry | undefined;
  nextByKey: PendingEntry | undefined;

  constructor(entry: AppendEntry, stream: StreamState, call: Call, index: number) {
    this.entry = entry;
    this.stream = stream;
    this.call = call;
    this.index = index;
  }
}

export interface IntakeOptions {
  readonly streams: StreamTable;
  readonly appender: Pick<Appender<PendingEntry>, "enqueue" | "enqueued">;
  readonly repeats: RepeatFinder;
  readonly segmentBytes: number;
  /** Entries and bytes that may be waiting at once; beyond it `overloaded`. */
  readonly pendingEntriesMax: number;
  readonly pendingBytesMax: number;
}

/**
 * Takes appends in: tells repeats from new events, hands the new ones to the appender, and answers
 * calls. An id is reserved from the moment it is seen, so no two entries can both be the first.
 */
export class Intake {
  private readonly options: IntakeOptions;
  private readonly byId = new Map<number, PendingEntry>();
  private readonly byKey = new Map<number, PendingEntry>();
  private entries = 0;
  private bytes = 0;

  constructor(options: IntakeOptions) {
    this.options = options;
  }

  append(entries: readonly AppendEntry[]): Promise<Appended[]> {
    if (entries.length === 0) return Promise.resolve([]);
    const refusal = this.refusal(entries);
    if (refusal !== undefined) return Promise.reject(refusal);
    return new Promise((resolve, reject) => {
      const call: Call = { results: new Array<Appended>(entries.length), missing: entries.length, resolve, reject };
      const pending = entries.map((entry, i) => this.pendingOf(entry, call, i));
      const lookups = this.lookups(pending);
      if (lookups.length === 0) this.admit(pending);
      else void this.admitChecked(pending, lookups);
    });
  }

  /** Reads what the disk has of names that may be taken, until nothing newer came meanwhile; then admits. */
  private async admitChecked(pending: readonly PendingEntry[], first: readonly Promise<void>[]): Promise<void> {
    try {
      for (let lookups = first; lookups.length > 0; lookups = this.lookups(pending)) await Promise.all(lookups);
    } catch (error) {
      for (const one of pending) this.reject(one, error);
      return;
    }
    this.admit(pending);
  }

  private lookups(pending: readonly PendingEntry[]): Promise<void>[] {
    const lookups: Promise<void>[] = [];
    const { repeats } = this.options;
    for (const one of pending) {
      const byId = repeats.suspect(one, "event_id");
      if (byId !== undefined && byId.version !== one.byId?.version) lookups.push(lookUp(byId, one, "byId"));
      if (one.entry.idempotencyKey === undefined) continue;
      const byKey = repeats.suspect(one, "idempotency_key");
      if (byKey !== undefined && byKey.version !== one.byKey?.version) lookups.push(lookUp(byKey, one, "byKey"));
    }
    return lookups;
  }

  /**
   * Sorts the entries of a call in, in order and in one step: behind the pending entry that they
   * repeat, or answered with the durable one, or into the queue. The id counts before the key.
   */
  private admit(pending: readonly PendingEntry[]): void {
    for (const one of pending) {
      const samePendingId = this.pendingById(one);
      if (samePendingId !== undefined) waitFor(samePendingId, one);
      else if (one.byId?.first !== undefined) this.settle(one, repeatOf(one.entry, one.byId.first));
      else this.admitByKey(one);
    }
    this.options.appender.enqueued();
  }

  private admitByKey(pending: PendingEntry): void {
    const samePendingKey = this.pendingByKey(pending);
    if (samePendingKey !== undefined) waitFor(samePendingKey, pending);
    else if (pending.byKey?.first !== undefined) this.settle(pending, repeatOf(pending.entry, pending.byKey.first));
    else {
      this.hold(pending);
      this.options.appender.enqueue(pending);
    }
  }

  private refusal(entries: readonly AppendEntry[]): PulseGateError | undefined {
    let bytes = 0;
    for (const entry of entries) {
      if (!hasStorableNames(entry)) {
        return new PulseGateError(
          "internal",
          "A name is empty or longer than 255 characters; names are checked before the log.",
        );
      }
      const frame = frameBytesOf(entry);
      if (frame + BLOCK_HEADER_BYTES + SEGMENT_HEADER_BYTES > this.options.segmentBytes) {
        return new PulseGateError(
          "event_too_large",
          `An event of ${entry.bytes.length} bytes does not fit a segment of ${this.options.segmentBytes} bytes.`,
        );
      }
      bytes += frame;
    }
    const { pendingEntriesMax, pendingBytesMax } = this.options;
    const isOver = this.entries + entries.length > pendingEntriesMax || this.bytes + bytes > pendingBytesMax;
    // A call that is larger than the bounds by itself is taken when nothing else waits.
    if (isOver && this.entries > 0)
      return new PulseGateError("overloaded", "Too much is waiting to be written to the ingestion log.", {
        retryAfterMs: 1000,
      });
    return undefined;
  }

  private pendingOf(entry: AppendEntry, call: Call, index: number): PendingEntry {
    const {
      stream: { tenantId, partition },
      eventId,
      idempotencyKey,
    } = entry;
    const { streams } = this.options;
    const stream = streams.ensure(tenantId, partition);
    const pending = new PendingEntry(entry, stream, call, index);
    pending.frameBytes = frameBytesOf(entry);
    const { hash } = streams;
    hash.digest(stream.tenant.eventIds, eventId);
    pending.idHi = hash.hi;
    pending.idLo = hash.lo;
    if (idempotencyKey !== undefined) {
      hash.digest(stream.tenant.keys, idempotencyKey);
      pending.keyHi = hash.hi;
      pending.keyLo = hash.lo;
    }
    this.entries++;
    this.bytes += pending.frameBytes;
    return pending;
  }

  /** An entry of the appender is durable. */
  committed(pending: PendingEntry): void {
    const { entry, sequence, receivedAt, repeats } = pending;
    this.settle(pending, { type: "appended", sequence, receivedAt });
    this.release(pending);
    if (repeats === undefined) return;
    const { eventId, idempotencyKey, bytes: body } = entry;
    const first = {
      stream: pending.stream.stream,
      sequence,
      receivedAt,
      eventId,
      idempotencyKey,
      body,
      isErased: false,
    };
    for (const repeat of repeats) this.settle(repeat, repeatOf(repeat.entry, first));
  }

  /** An entry of the appender was not written, or it is not known whether it was. */
  rejected(pending: PendingEntry, error: unknown): void {
    this.release(pending);
    this.reject(pending, error);
    for (const repeat of pending.repeats ?? []) this.reject(repeat, error);
  }

  private reject(pending: PendingEntry, error: unknown): void {
    this.leave(pending);
    pending.call.reject(error);
  }

  private settle(pending: PendingEntry, result: Appended): void {
    const { call } = pending;
    this.leave(pending);
    call.results[pending.index] = result;
    call.missing--;
    if (call.missing === 0) call.resolve(call.results);
  }

  private leave(pending: PendingEntry): void {
    this.entries--;
    this.bytes -= pending.frameBytes;
  }

  private pendingById({ entry, idLo }: PendingEntry): PendingEntry | undefined {
    for (let other = this.byId.get(idLo >>> 1); other !== undefined; other = other.nextById) {
      if (other.entry.eventId === entry.eventId && other.entry.stream.tenantId === entry.stream.tenantId) return other;
    }
    return undefined;
  }

  private pendingByKey({ entry, keyLo }: PendingEntry): PendingEntry | undefined {
    if (entry.idempotencyKey === undefined) return undefined;
    for (let other = this.byKey.get(keyLo >>> 1); other !== undefined; other = other.nextByKey) {
      if (other.entry.idempotencyKey === entry.idempotencyKey && other.entry.stream.tenantId === entry.stream.tenantId)
        return other;
    }
    return undefined;
  }

  /** From here on the names are taken. */
  private hold(pending: PendingEntry): void {
    const id = pending.idLo >>> 1;
    pending.nextById = this.byId.get(id);
    this.byId.set(id, pending);
    if (pending.entry.idempotencyKey === undefined) return;
    const key = pending.keyLo >>> 1;
    pending.nextByKey = this.byKey.get(key);
    this.byKey.set(key, pending);
  }

  private release(pending: PendingEntry): void {
    unlink(this.byId, pending.idLo >>> 1, pending, "nextById");
    if (pending.entry.idempotencyKey !== undefined) unlink(this.byKey, pending.keyLo >>> 1, pending, "nextByKey");
  }
}

function hasStorableNames({ stream, eventId, idempotencyKey }: AppendEntry): boolean {
  if (stream.tenantId.length > NAME_CHARS_MAX || eventId.length > NAME_CHARS_MAX || eventId === "") return false;
  return idempotencyKey === undefined || (idempotencyKey !== "" && idempotencyKey.length <= NAME_CHARS_MAX);
}

const NAME_CHARS_MAX = 255;

function frameBytesOf({ stream, eventId, idempotencyKey, bytes }: AppendEntry): number {
  return frameBytes({
    tenant: stream.tenantId.length,
    eventId: eventId.length,
    key: idempotencyKey?.length ?? 0,
    body: bytes.length,
  });
}

async function lookUp(suspicion: Suspicion, pending: PendingEntry, name: "byId" | "byKey"): Promise<void> {
  pending[name] = { version: suspicion.version, first: await suspicion.resolve() };
}

function waitFor(first: PendingEntry, repeat: PendingEntry): void {
  if (first.repeats === undefined) first.repeats = [repeat];
  else first.repeats.push(repeat);
}

function unlink(
  table: Map<number, PendingEntry>,
  slot: number,
  pending: PendingEntry,
  link: "nextById" | "nextByKey",
): void {
  const head = table.get(slot);
  if (head === pending) {
    if (pending[link] === undefined) table.delete(slot);
    else table.set(slot, pending[link]);
    return;
  }
  for (let other = head; other !== undefined; other = other[link]) {
    if (other[link] === pending) other[link] = pending[link];
  }
}

interface First {
  readonly stream: { readonly tenantId: string; readonly partition: number };
  readonly sequence: number;
  readonly receivedAt: number;
  readonly eventId: string;
  readonly idempotencyKey: string | undefined;
  readonly body: Buffer;
  /** Its content is not known any more: whoever repeats its name repeats it. */
  readonly isErased: boolean;
}

function repeatOf(entry: AppendEntry, first: First): Appended {
  const { stream, sequence, receivedAt, eventId } = first;
  if (first.isErased || contentOf(entry.bytes).equals(contentOf(first.body)))
    return { type: "duplicate", stream, sequence, receivedAt, eventId };
  const sameKey = entry.idempotencyKey !== undefined && entry.idempotencyKey === first.idempotencyKey;
  return { type: "conflict", field: sameKey ? "idempotency_key" : "event_id", eventId };
}
