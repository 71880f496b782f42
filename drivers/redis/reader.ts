import { stampReceivedAt } from "../../core/canonical/codec.ts";
import {
  type LogEntry,
  type Position,
  type ReadLimits,
  type Stream,
  type StreamBounds,
  type StreamKey,
  streamKey,
} from "../../core/ingestion/log.ts";
import { type Client, listOf, type Reply, textOf } from "./client.ts";
import { ALL_SHARDS, type Keys, shardOf } from "./keys.ts";
import { SEEK } from "./lua-events.ts";
import { keptEntry } from "./kept.ts";
import { unpack } from "./payload.ts";

export interface ReaderOptions {
  readonly client: Client;
  readonly keys: Keys;
  readonly logId: () => string;
  /** Something that was there is gone. */
  readonly onLost: (what: string) => never;
}

const FIRST_ENTRIES = 16;
const ENTRIES_MAX = 2_048;
const EVENT_BYTES_GUESS = 1_024;
const RECORD_HASH_BYTES = 16;
const SIZES_MAX = 100_000;
const SEEK_ERASED = 1_000;

/** Reads streams. Everything that a script does not check is checked here: a log that was emptied is not an empty log. */
export class StreamReader {
  private readonly options: ReaderOptions;
  /** Stream → mean size of what was read last. */
  private readonly sizes = new Map<StreamKey, number>();

  constructor(options: ReaderOptions) {
    this.options = options;
  }

  async read(stream: Stream, from: number, limits: ReadLimits): Promise<LogEntry[]> {
    const found: LogEntry[] = [];
    let bytes = 0;
    let next = Math.max(from, 0);
    for (;;) {
      const asked = this.askFor(stream, limits.entries - found.length, limits.bytes - bytes);
      const page = await this.page(stream, next, asked);
      for (const entry of page) {
        if (found.length >= limits.entries || (found.length > 0 && bytes >= limits.bytes)) return found;
        found.push(entry);
        bytes += entry.bytes.length;
      }
      if (page.length < asked) return found;
      if (found.length >= limits.entries || bytes >= limits.bytes) return found;
      next = (page.at(-1) as LogEntry).sequence + 1;
    }
  }

  /** As many as fit, by what the stream's events weighed last; few where that is not known. */
  private askFor(stream: Stream, entries: number, bytes: number): number {
    const size = this.sizes.get(streamKey(stream));
    const fit = size === undefined ? FIRST_ENTRIES : Math.ceil(bytes / size);
    return Math.max(1, Math.min(entries, fit, ENTRIES_MAX));
  }

  private async page(stream: Stream, from: number, count: number): Promise<LogEntry[]> {
    const { client, keys, onLost, logId } = this.options;
    const shard = shardOf(stream.tenantId);
    // One way there and back: the three are sent together.
    const [id, meta, entries, erased] = await Promise.all([
      client.call("GET", keys.id(shard)),
      client.call("HGET", keys.streams(shard), streamKey(stream)),
      client.call("XRANGE", keys.entries(stream), `${from + 1}-0`, "+", "COUNT", count),
      this.erasedFrom(stream, from, count),
    ]);
    if (textOf(id) !== logId()) onLost(`${keys.id(shard)} is gone`);
    const page = merged(listOf(entries).map(entryOf), erased).slice(0, count);
    const { first, end } = boundsOf(meta);
    // Asked for in that order: what the bounds name was there before the entries were read, or was trimmed since.
    if (page.length === 0 && Math.max(from, first) < end) await this.checkThere(stream, from);
    this.note(stream, page);
    return page;
  }

  private async checkThere(stream: Stream, from: number): Promise<void> {
    const { client, keys, onLost } = this.options;
    const { first, end } = await this.bounds(stream);
    if (Math.max(from, first) < end && (await client.call("EXISTS", keys.entries(stream))) === 0)
      onLost(`${keys.entries(stream)} is gone`);
  }

  private note(stream: Stream, page: readonly LogEntry[]): void {
    if (page.length === 0) return;
    const bytes = page.reduce((sum, entry) => sum + entry.bytes.length, 0);
    if (this.sizes.size > SIZES_MAX) this.sizes.clear();
    const mean = bytes / page.length;
    const before = this.sizes.get(streamKey(stream)) ?? EVENT_BYTES_GUESS;
    // Larger at once, smaller by and by: a reply that is too large costs memory, one that is too small a turn.
    this.sizes.set(streamKey(stream), mean > before ? mean : (before + mean) / 2);
  }

  private async erasedFrom(stream: Stream, from: number, count: number): Promise<LogEntry[]> {
    const { client, keys } = this.options;
    const found = await client.call("ZRANGEBYSCORE", keys.erased(stream), from, "+inf", "LIMIT", 0, count);
    return listOf(found).map((one) => keptEntry(one as Buffer));
  }

  /** Undefined when it is not stored. */
  async entryAt(stream: Stream, sequence: number): Promise<LogEntry | undefined> {
    const [entry] = await this.page(stream, sequence, 1);
    return entry?.sequence === sequence ? entry : undefined;
  }

  async seek(stream: Stream, receivedAt: number): Promise<number> {
    const { client, keys } = this.options;
    const names = [keys.entries(stream), keys.streams(shardOf(stream.tenantId))];
    let at = Number(textOf(await client.run(SEEK, names, [streamKey(stream), receivedAt])));
    // The script does not see erased events: those before the time are passed over here.
    for (let erased = await this.erasedFrom(stream, at, SEEK_ERASED); erased.length > 0; ) {
      const next = erased.findIndex((entry, i) => entry.sequence !== at + i || entry.receivedAt >= receivedAt);
      if (next !== -1) return at + next;
      at += erased.length;
      erased = await this.erasedFrom(stream, at, SEEK_ERASED);
    }
    return at;
  }

  async bounds(stream: Stream): Promise<StreamBounds> {
    const { client, keys, onLost, logId } = this.options;
    const shard = shardOf(stream.tenantId);
    const [id, meta] = await Promise.all([
      client.call("GET", keys.id(shard)),
      client.call("HGET", keys.streams(shard), streamKey(stream)),
    ]);
    if (textOf(id) !== logId()) onLost(`${keys.id(shard)} is gone`);
    return boundsOf(meta);
  }

  /** What Redis says that the entries take up, by a sample of them; more than their bytes. */
  async storedBytes(stream: Stream): Promise<number> {
    return Number((await this.options.client.call("MEMORY", "USAGE", this.options.keys.entries(stream))) ?? 0);
  }

  /** As if all entries were of one size. */
  async seekBytes(stream: Stream, bytes: number): Promise<number> {
    const [{ first, end }, stored] = await Promise.all([this.bounds(stream), this.storedBytes(stream)]);
    return stored <= bytes ? first : end - Math.floor(((end - first) * bytes) / stored);
  }

  async find(tenantId: string, eventId: string): Promise<(Position & { readonly receivedAt: number }) | undefined> {
    const { client, keys } = this.options;
    const record = await client.call("HGET", keys.ids(tenantId), eventId);
    if (!(record instanceof Buffer)) return undefined;
    const [partition, sequence, receivedAt] = record.subarray(RECORD_HASH_BYTES).toString().split(" ", 3).map(Number);
    const stream = { tenantId, partition: partition as number };
    if ((sequence as number) < (await this.bounds(stream)).first) return undefined;
    return { stream, sequence: sequence as number, receivedAt: receivedAt as number };
  }

  async knownStreams(): Promise<Stream[]> {
    const { client, keys } = this.options;
    const names = await Promise.all(ALL_SHARDS.map((shard) => client.call("HKEYS", keys.streams(shard))));
    return names.flatMap((reply) => listOf(reply).map((name) => parseStreamKey(String(name))));
  }
}

export function parseStreamKey(key: string): Stream {
  const slash = key.lastIndexOf("/");
  return { tenantId: key.slice(0, slash), partition: Number(key.slice(slash + 1)) };
}

function boundsOf(meta: Reply): StreamBounds {
  if (meta === null) return { first: 0, end: 0 };
  const [end = 0, first = 0] = textOf(meta).split(" ").map(Number);
  return { first, end };
}

/** Both in order. */
function merged(entries: LogEntry[], erased: readonly LogEntry[]): LogEntry[] {
  return erased.length === 0 ? entries : [...entries, ...erased].sort((a, b) => a.sequence - b.sequence);
}

/** An entry's id is `sequence + 1 - received_at`; its bytes are stamped here, not in the log. */
function entryOf(reply: Reply): LogEntry {
  const [id, fields] = listOf(reply);
  const text = String(id);
  const dash = text.indexOf("-");
  const receivedAt = Number(text.slice(dash + 1));
  const [field, value] = listOf(fields) as [Buffer, Buffer];
  const bytes = unpack(field, value);
  stampReceivedAt(bytes, receivedAt);
  return { sequence: Number(text.slice(0, dash)) - 1, receivedAt, bytes };
}
