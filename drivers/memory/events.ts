import { contentOf, decodeEvent, stampReceivedAt, withoutPayload } from "../../core/canonical/codec.ts";
import {
  type AppendEntry,
  type Appended,
  type LogEntry,
  type Position,
  type ReadLimits,
  type Stream,
  type StreamBounds,
  type StreamKey,
  streamKey,
} from "../../core/ingestion/log.ts";

interface StoredStream {
  first: number;
  end: number;
  /** The entry with sequence `first` is at index 0. */
  entries: LogEntry[];
}

interface Known extends Position {
  readonly receivedAt: number;
  readonly eventId: string;
  readonly idempotencyKey: string | undefined;
  /** Absent once erased: then every repeat is a duplicate. */
  content: Buffer | undefined;
}

/** The durable events of the in-memory log. Every method is one atomic step. */
export class EventTable {
  readonly #windowMs: number;
  readonly #streams = new Map<StreamKey, StoredStream>();
  readonly #ids = new Map<string, Known>();
  readonly #keys = new Map<string, Known>();
  #lastReceivedAt = Number.NEGATIVE_INFINITY;

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  streams(): readonly Stream[] {
    return [...this.#streams.keys()].map((key) => {
      const slash = key.lastIndexOf("/");
      return { tenantId: key.slice(0, slash), partition: Number(key.slice(slash + 1)) };
    });
  }

  /** Stores what is new; tells which streams got entries. */
  append(entries: readonly AppendEntry[], now: number): { results: Appended[]; grown: Map<StreamKey, Stream> } {
    // One clamp for all streams: a clock that steps back must not make any of them fall.
    this.#lastReceivedAt = Math.max(this.#lastReceivedAt, now);
    const grown = new Map<StreamKey, Stream>();
    const results = entries.map((entry) => {
      const repeated = this.#repeated(entry);
      if (repeated !== undefined) return repeated;
      grown.set(streamKey(entry.stream), entry.stream);
      return this.#store(entry);
    });
    return { results, grown };
  }

  #repeated(entry: AppendEntry): Appended | undefined {
    const byId = this.#within(this.#ids.get(idKey(entry.stream.tenantId, entry.eventId)));
    if (byId !== undefined) return verdict(entry, byId);
    if (entry.idempotencyKey === undefined) return undefined;
    const byKey = this.#within(this.#keys.get(idKey(entry.stream.tenantId, entry.idempotencyKey)));
    return byKey === undefined ? undefined : verdict(entry, byKey);
  }

  #within(known: Known | undefined): Known | undefined {
    return known !== undefined && this.#lastReceivedAt - known.receivedAt < this.#windowMs ? known : undefined;
  }

  #store(entry: AppendEntry): Appended {
    const { stream, eventId, idempotencyKey, bytes } = entry;
    const receivedAt = this.#lastReceivedAt;
    stampReceivedAt(bytes, receivedAt);
    const stored = this.#stream(stream);
    const sequence = stored.end++;
    stored.entries.push({ sequence, receivedAt, bytes });
    const known: Known = { stream, sequence, receivedAt, eventId, idempotencyKey, content: contentOf(bytes) };
    this.#ids.set(idKey(stream.tenantId, eventId), known);
    if (idempotencyKey !== undefined) this.#keys.set(idKey(stream.tenantId, idempotencyKey), known);
    return { type: "appended", sequence, receivedAt };
  }

  #stream(stream: Stream): StoredStream {
    const key = streamKey(stream);
    let stored = this.#streams.get(key);
    if (stored === undefined) this.#streams.set(key, (stored = { first: 0, end: 0, entries: [] }));
    return stored;
  }

  read(stream: Stream, from: number, limits: ReadLimits): LogEntry[] {
    const stored = this.#streams.get(streamKey(stream));
    if (stored === undefined) return [];
    const found: LogEntry[] = [];
    let bytes = 0;
    for (let i = Math.max(from - stored.first, 0); i < stored.entries.length; i++) {
      if (found.length >= limits.entries || (found.length > 0 && bytes >= limits.bytes)) break;
      const entry = stored.entries[i] as LogEntry;
      found.push(entry);
      bytes += entry.bytes.length;
    }
    return found;
  }

  seek(stream: Stream, receivedAt: number): number {
    const stored = this.#streams.get(streamKey(stream));
    if (stored === undefined) return 0;
    return stored.entries.find((entry) => entry.receivedAt >= receivedAt)?.sequence ?? stored.end;
  }

  bounds(stream: Stream): StreamBounds {
    const stored = this.#streams.get(streamKey(stream));
    return { first: stored?.first ?? 0, end: stored?.end ?? 0 };
  }

  find(tenantId: string, eventId: string): (Position & { readonly receivedAt: number }) | undefined {
    const known = this.#ids.get(idKey(tenantId, eventId));
    if (known === undefined || known.sequence < this.bounds(known.stream).first) return undefined;
    return { stream: known.stream, sequence: known.sequence, receivedAt: known.receivedAt };
  }

  /** How many were not erased before. */
  erase(stream: Stream, sequences: readonly number[], at: number): number {
    const stored = this.#streams.get(streamKey(stream));
    return sequences.filter((sequence) => stored !== undefined && this.#eraseOne(stream, stored, sequence, at)).length;
  }

  #eraseOne(stream: Stream, { first, entries }: StoredStream, sequence: number, at: number): boolean {
    const entry = entries[sequence - first];
    if (entry === undefined || entry.erasedAt !== undefined) return false;
    entries[sequence - first] = { ...entry, bytes: withoutPayload(entry.bytes), erasedAt: at };
    const known = this.#ids.get(idKey(stream.tenantId, decodeEvent(entry.bytes).event_id));
    if (known?.sequence === sequence && known.stream.partition === stream.partition) known.content = undefined;
    return true;
  }

  storedBytes(stream: Stream): number {
    const entries = this.#streams.get(streamKey(stream))?.entries ?? [];
    return entries.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  seekBytes(stream: Stream, bytes: number): number {
    const stored = this.#streams.get(streamKey(stream));
    if (stored === undefined) return 0;
    let [sequence, left] = [stored.end, bytes];
    for (const entry of stored.entries.toReversed()) {
      left -= entry.bytes.length;
      if (left < 0) break;
      sequence = entry.sequence;
    }
    return sequence;
  }

  trim(stream: Stream, before: number): void {
    const stored = this.#streams.get(streamKey(stream));
    if (stored === undefined) return;
    const first = Math.min(Math.max(stored.first, before), stored.end);
    stored.entries.splice(0, first - stored.first);
    stored.first = first;
  }
}

function idKey(tenantId: string, id: string): string {
  return `${tenantId}/${id}`;
}

function verdict(entry: AppendEntry, known: Known): Appended {
  const { stream, sequence, receivedAt, eventId } = known;
  const isSame = known.content === undefined || contentOf(entry.bytes).equals(known.content);
  if (isSame) return { type: "duplicate", stream, sequence, receivedAt, eventId };
  const sameKey = entry.idempotencyKey !== undefined && entry.idempotencyKey === known.idempotencyKey;
  return { type: "conflict", field: sameKey ? "idempotency_key" : "event_id", eventId };
}
