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
import { ALL_SHARDS, claimName, type Keys, shardOf } from "./keys.ts";
import { SEEK } from "./lua-events.ts";
import { unpackBlock } from "./block.ts";
import { keptEntry } from "./kept.ts";
import { placeOf } from "./lua-records.ts";

export interface ReaderOptions {
  readonly client: Client;
  readonly keys: Keys;
  readonly logId: () => string;
  /** Something that was there is gone. */
  readonly onLost: (what: string) => never;
}

const FIRST_BLOCKS = 8;
const BLOCKS_MAX = 2_048;
/** Events that are kept beside the stream, asked for at once. */
const KEPT_MAX = 64;
const SIZES_MAX = 100_000;
const SEEK_KEPT = 1_000;

/** What one entry of a stream holds. */
export interface StoredBlock {
  /** As Redis knows it: `last sequence + 1`-`time`. */
  readonly entryId: string;
  readonly entries: readonly LogEntry[];
}

/** Means of what was read of a stream last. */
interface Sizes {
  readonly bytes: number;
  readonly events: number;
}

interface Page {
  readonly entries: LogEntry[];
  readonly isEnd: boolean;
}

/** Reads streams. Everything that a script does not check is checked here: a log that was emptied is not an empty log. */
export class StreamReader {
  private readonly options: ReaderOptions;
  /** Of their blocks. */
  private readonly sizes = new Map<StreamKey, Sizes>();

  constructor(options: ReaderOptions) {
    this.options = options;
  }

  async read(stream: Stream, from: number, limits: ReadLimits): Promise<LogEntry[]> {
    const found: LogEntry[] = [];
    let bytes = 0;
    let next = Math.max(from, 0);
    for (;;) {
      const blocks = this.askFor(stream, limits.entries - found.length, limits.bytes - bytes);
      const { entries, isEnd } = await this.page(stream, next, { blocks, kept: KEPT_MAX });
      for (const entry of entries) {
        if (found.length >= limits.entries || (found.length > 0 && bytes >= limits.bytes)) return found;
        found.push(entry);
        bytes += entry.bytes.length;
      }
      if (isEnd || found.length >= limits.entries || bytes >= limits.bytes) return found;
      next = (entries.at(-1)?.sequence ?? next - 1) + 1;
    }
  }

  /** As many as fit, by what the stream's blocks were last; few where that is not known. */
  private askFor(stream: Stream, entries: number, bytes: number): number {
    const size = this.sizes.get(streamKey(stream));
    const fit = size === undefined ? FIRST_BLOCKS : Math.min(bytes / size.bytes, entries / size.events);
    return Math.max(1, Math.min(Math.ceil(fit), entries, BLOCKS_MAX));
  }

  /** What there is from a sequence on, of so many blocks and events kept beside them. */
  private async page(stream: Stream, from: number, count: { blocks: number; kept: number }): Promise<Page> {
    const { client, keys, onLost, logId } = this.options;
    const shard = shardOf(stream.tenantId);
    // One way there and back: they are sent together.
    const [id, meta, stored, kept] = await Promise.all([
      client.call("GET", keys.id(shard)),
      client.call("HGET", keys.streams(shard), streamKey(stream)),
      client.call("XRANGE", keys.entries(stream), `${from + 1}-0`, "+", "COUNT", count.blocks),
      this.keptFrom(stream, from, count.kept),
    ]);
    if (textOf(id) !== logId()) onLost(`${keys.id(shard)} is gone`);
    const blocks = listOf(stored).map(blockOf);
    this.note(stream, blocks);
    const { first, end } = boundsOf(meta);
    const hasAllBlocks = blocks.length < count.blocks;
    const hasAllKept = kept.length < count.kept;
    // Where the one goes on behind what was asked for, the other has to wait for it.
    const stop = Math.min(
      hasAllBlocks ? Number.POSITIVE_INFINITY : lastOf(blocks.at(-1)?.entries),
      hasAllKept ? Number.POSITIVE_INFINITY : lastOf(kept),
    );
    const entries = merged(
      blocks.flatMap((block) => block.entries),
      kept,
    ).filter(({ sequence }) => sequence >= from && sequence >= first && sequence <= stop);
    // Asked for in that order: what the bounds name was there before the entries were read, or was trimmed since.
    if (entries.length === 0 && Math.max(from, first) < end) await this.checkThere(stream, from);
    return { entries, isEnd: hasAllBlocks && hasAllKept };
  }

  private async checkThere(stream: Stream, from: number): Promise<void> {
    const { client, keys, onLost } = this.options;
    const { first, end } = await this.bounds(stream);
    if (Math.max(from, first) < end && (await client.call("EXISTS", keys.entries(stream))) === 0)
      onLost(`${keys.entries(stream)} is gone`);
  }

  private note(stream: Stream, blocks: readonly StoredBlock[]): void {
    if (blocks.length === 0) return;
    if (this.sizes.size > SIZES_MAX) this.sizes.clear();
    let [bytes, events] = [0, 0];
    for (const { entries } of blocks) {
      events += entries.length;
      for (const entry of entries) bytes += entry.bytes.length;
    }
    const before = this.sizes.get(streamKey(stream)) ?? { bytes: 1, events: 1 };
    // Larger at once, smaller by and by: a reply that is too large costs memory, one that is too small a turn.
    const mean = (sum: number, last: number) => Math.max(sum / blocks.length, (last + sum / blocks.length) / 2);
    this.sizes.set(streamKey(stream), { bytes: mean(bytes, before.bytes), events: mean(events, before.events) });
  }

  private async keptFrom(stream: Stream, from: number, count: number): Promise<LogEntry[]> {
    const { client, keys } = this.options;
    const found = await client.call("ZRANGEBYSCORE", keys.kept(stream), from, "+inf", "LIMIT", 0, count);
    return listOf(found).map((one) => keptEntry(one as Buffer));
  }

  /** The block that has the sequence, or the event where it is kept beside the stream; neither when it is not stored. */
  async storedAt(
    stream: Stream,
    sequence: number,
  ): Promise<{ readonly block?: StoredBlock; readonly kept?: LogEntry | undefined }> {
    const { client, keys } = this.options;
    const [stored, [kept], { first }] = await Promise.all([
      client.call("XRANGE", keys.entries(stream), `${sequence + 1}-0`, "+", "COUNT", 1),
      this.keptFrom(stream, sequence, 1),
      this.bounds(stream),
    ]);
    if (sequence < first) return {};
    const [block] = listOf(stored).map(blockOf);
    const entries = block?.entries.filter((entry) => entry.sequence >= first) ?? [];
    if (block !== undefined && entries.some((entry) => entry.sequence === sequence))
      return { block: { entryId: block.entryId, entries } };
    return kept?.sequence === sequence ? { kept } : {};
  }

  async seek(stream: Stream, receivedAt: number): Promise<number> {
    const { client, keys } = this.options;
    const names = [keys.entries(stream), keys.streams(shardOf(stream.tenantId))];
    let at = Number(textOf(await client.run(SEEK, names, [streamKey(stream), receivedAt])));
    // The script does not see events beside the stream: those before the time are passed over here.
    for (let kept = await this.keptFrom(stream, at, SEEK_KEPT); kept.length > 0; ) {
      const next = kept.findIndex((entry, i) => entry.sequence !== at + i || entry.receivedAt >= receivedAt);
      if (next !== -1) return at + next;
      at += kept.length;
      kept = await this.keptFrom(stream, at, SEEK_KEPT);
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
    const record = await client.call("HGET", keys.ids(shardOf(tenantId)), claimName(tenantId, eventId));
    if (!(record instanceof Buffer)) return undefined;
    const { partition, sequence, receivedAt } = placeOf(record);
    const stream = { tenantId, partition };
    if (sequence < (await this.bounds(stream)).first) return undefined;
    return { stream, sequence, receivedAt };
  }

  async knownStreams(): Promise<Stream[]> {
    const { client, keys } = this.options;
    const names = await Promise.all(ALL_SHARDS.map((shard) => client.call("HKEYS", keys.streams(shard))));
    return names.flatMap((reply) => listOf(reply).map((name) => parseStreamKey(String(name))));
  }

  /** Of all streams, one past their last sequence. */
  async knownEnds(): Promise<Array<readonly [Stream, number]>> {
    const { client, keys } = this.options;
    const ends: Array<readonly [Stream, number]> = [];
    for (const reply of await Promise.all(ALL_SHARDS.map((shard) => client.call("HGETALL", keys.streams(shard))))) {
      const told = listOf(reply);
      for (let i = 0; i < told.length; i += 2)
        ends.push([parseStreamKey(String(told[i])), boundsOf(told[i + 1] as Reply).end]);
    }
    return ends;
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
function merged(entries: LogEntry[], kept: readonly LogEntry[]): LogEntry[] {
  return kept.length === 0 ? entries : [...entries, ...kept].sort((a, b) => a.sequence - b.sequence);
}

function lastOf(entries: readonly LogEntry[] = []): number {
  return entries.at(-1)?.sequence ?? Number.POSITIVE_INFINITY;
}

/** The events' bytes are stamped here, not in the log. */
function blockOf(reply: Reply): StoredBlock {
  const [id, fields] = listOf(reply);
  const entryId = String(id);
  const dash = entryId.indexOf("-");
  const receivedAt = Number(entryId.slice(dash + 1));
  const events = unpackBlock(listOf(fields)[1] as Buffer);
  const first = Number(entryId.slice(0, dash)) - events.length;
  const entries = events.map((bytes, i) => {
    stampReceivedAt(bytes, receivedAt);
    return { sequence: first + i, receivedAt, bytes };
  });
  return { entryId, entries };
}
