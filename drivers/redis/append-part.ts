import { hash } from "node:crypto";
import { contentOf } from "../../core/canonical/codec.ts";
import { PulseGateError } from "../../core/canonical/errors.ts";
import { type AppendEntry, type Appended, type Stream, streamKey } from "../../core/ingestion/log.ts";
import { packBlock } from "./block.ts";
import { type Argument, listOf, type Reply, textOf } from "./client.ts";
import { claimName, type Keys } from "./keys.ts";
import { recordEnd } from "./lua-records.ts";
import { Packed } from "./packed.ts";

/** Of one script: it blocks the server while it runs. */
const ENTRIES_MAX = 512;
const BYTES_MAX = 1 << 20;
/** Each costs more than an event does. */
const STREAMS_MAX = 64;
/** Of one block: who needs one event of it reads all. */
const BLOCK_ENTRIES_MAX = 256;
const BLOCK_BYTES_MAX = 64 << 10;

interface Block<T> {
  readonly stream: Stream;
  /** Number of the stream among those of its shard, from 1. */
  readonly index: number;
  readonly members: T[];
  bytes: number;
}

/** Of one shard. */
interface Section<T> {
  readonly shard: number;
  readonly streams: Map<string, { readonly index: number; open: Block<T> }>;
  readonly blocks: Block<T>[];
  readonly ids: Set<string>;
  readonly keys: Set<string>;
  /** Whether an id or a key is there more than once. */
  repeats: boolean;
}

/** What goes into one script of `APPEND`. */
export class AppendPart<T extends { readonly entry: AppendEntry }> {
  /** In the order of the blocks. */
  private readonly sections = new Map<number, Section<T>>();
  private streams = 0;
  private bytes = 0;
  count = 0;

  /** Whether it took the member; one that is alone it takes, however large. */
  add(member: T, shard: number): boolean {
    const { stream, bytes } = member.entry;
    if (this.count >= ENTRIES_MAX || (this.count > 0 && this.bytes + bytes.length > BYTES_MAX)) return false;
    const section = this.sections.get(shard) ?? newSection<T>(shard);
    const key = streamKey(stream);
    const known = section.streams.get(key);
    if (known === undefined && this.streams >= STREAMS_MAX) return false;
    this.sections.set(shard, section);
    const isRepeat = claims(section, member.entry);
    if (known === undefined) {
      const index = section.streams.size + 1;
      section.streams.set(key, { index, open: newBlock(section, stream, index) });
      this.streams++;
    } else if (isRepeat || isFull(known.open, bytes.length)) known.open = newBlock(section, stream, known.index);
    const block = (section.streams.get(key) as { open: Block<T> }).open;
    block.members.push(member);
    block.bytes += bytes.length;
    this.bytes += bytes.length;
    this.count++;
    return true;
  }

  keyList(keys: Keys): string[] {
    const sections = [...this.sections.values()];
    const ofShards = sections.flatMap(({ shard }) => [
      ...[keys.id(shard), keys.streams(shard), keys.ids(shard), keys.idempotency(shard)],
    ]);
    const ofStreams = sections.flatMap(({ streams }) =>
      [...streams.values()].map(({ open }) => keys.entries(open.stream)),
    );
    return [...ofShards, ...ofStreams];
  }

  /** What comes behind the script's settings. */
  args(compression: "none" | "zstd"): Argument[] {
    const packed = new Packed(this.count);
    const sections = [...this.sections.values()];
    packed.list(sections.length);
    for (const section of sections) packSection(packed, section);
    const blocks = this.blocks.map(({ members }) =>
      packBlock(
        members.map(({ entry }) => entry.bytes),
        compression,
      ),
    );
    return [packed.bytes, ...blocks];
  }

  private get blocks(): Block<T>[] {
    return [...this.sections.values()].flatMap(({ blocks }) => blocks);
  }

  *members(): Generator<T> {
    for (const { members } of this.blocks) yield* members;
  }

  /** What became of each, of one stream in order; an error where nothing of its block was stored. */
  *outcomes(reply: Reply): Generator<[T, Appended | Error]> {
    const replies = listOf(reply);
    for (const [i, { members, stream }] of this.blocks.entries()) {
      const said = replies[i] as Reply;
      if (Array.isArray(said)) {
        for (const [j, member] of members.entries()) yield [member, appendedOf(textOf(said[j]), stream)];
        continue;
      }
      const text = textOf(said);
      const stored = STORED.exec(text);
      const fault = stored === null ? new Error(text.slice(1)) : undefined;
      const [first, receivedAt] = [Number(stored?.[1]), Number(stored?.[2])];
      for (const [j, member] of members.entries())
        yield [member, fault ?? { type: "appended", sequence: first + j, receivedAt }];
    }
  }
}

function newSection<T>(shard: number): Section<T> {
  return { shard, streams: new Map(), blocks: [], ids: new Set(), keys: new Set(), repeats: false };
}

/**
 * Whether its id or its key was there before. Blocks are taken in order: what repeats another, of whatever stream,
 * comes in a later block.
 */
function claims<T>(section: Section<T>, { stream, eventId, idempotencyKey }: AppendEntry): boolean {
  const { ids, keys } = section;
  const names = ids.size + keys.size + (idempotencyKey === undefined ? 1 : 2);
  ids.add(claimName(stream.tenantId, eventId));
  if (idempotencyKey !== undefined) keys.add(claimName(stream.tenantId, idempotencyKey));
  const isRepeat = ids.size + keys.size < names;
  if (isRepeat) section.repeats = true;
  return isRepeat;
}

function newBlock<T>({ blocks }: Section<T>, stream: Stream, index: number): Block<T> {
  const block: Block<T> = { stream, index, members: [], bytes: 0 };
  blocks.push(block);
  return block;
}

function isFull<T>({ members, bytes }: Block<T>, more: number): boolean {
  return members.length >= BLOCK_ENTRIES_MAX || bytes + more > BLOCK_BYTES_MAX;
}

function packSection<T extends { readonly entry: AppendEntry }>(
  packed: Packed,
  { streams, blocks, repeats }: Section<T>,
): void {
  const entries = blocks.flatMap(({ members }) => members.map(({ entry }) => entry));
  packed.list(7);
  packed.list(streams.size);
  for (const name of streams.keys()) packed.text(name);
  packed.list(entries.length);
  for (const { stream, eventId } of entries) packed.text(claimName(stream.tenantId, eventId));
  packed.list(entries.length);
  for (const { members } of blocks)
    for (const [i, { entry }] of members.entries())
      packed.bytesAndText(contentHash(entry.bytes), recordEnd(i, entry.idempotencyKey ?? ""));
  const keyed = entries.flatMap(({ idempotencyKey }, i) => (idempotencyKey === undefined ? [] : [i + 1]));
  packed.list(keyed.length);
  for (const number of keyed) packed.number(number);
  packed.list(keyed.length);
  for (const number of keyed) {
    const { stream, idempotencyKey } = entries[number - 1] as AppendEntry;
    packed.text(claimName(stream.tenantId, idempotencyKey as string));
  }
  packed.list(2 * blocks.length);
  for (const { index, members } of blocks) {
    packed.number(index);
    packed.number(members.length);
  }
  packed.number(repeats ? 1 : 0);
}

/** 16 bytes: as good as equal content. */
function contentHash(bytes: Buffer): Buffer {
  return (hash("sha256", contentOf(bytes), "buffer") as Buffer).subarray(0, 16);
}

const STORED = /^(\d+) (\d+)$/;
const APPENDED = /^a (\d+) (\d+)$/;
const DUPLICATE = /^d (\d+) (\d+) (\d+) ([^]*)$/;
const CONFLICT = /^([ik]) ([^]*)$/;

/** What the script says of one entry. */
function appendedOf(text: string, { tenantId }: Stream): Appended {
  const stored = APPENDED.exec(text);
  if (stored !== null) return { type: "appended", sequence: Number(stored[1]), receivedAt: Number(stored[2]) };
  const repeated = DUPLICATE.exec(text);
  if (repeated !== null) {
    const [, partition, sequence, receivedAt, eventId = ""] = repeated;
    return {
      type: "duplicate",
      stream: { tenantId, partition: Number(partition) },
      sequence: Number(sequence),
      receivedAt: Number(receivedAt),
      eventId,
    };
  }
  const conflict = CONFLICT.exec(text);
  if (conflict === null) throw new PulseGateError("internal", `Redis said of an entry: ${text.slice(0, 100)}`);
  const [, kind, eventId = ""] = conflict;
  return { type: "conflict", field: kind === "k" ? "idempotency_key" : "event_id", eventId };
}
