import { crc32 } from "node:zlib";
import type { StreamKey } from "../../core/ingestion/log.ts";
import type { Disk } from "./disk.ts";
import { corrupt, type LogFolder, publishFile, segmentPath } from "./folder.ts";
import { eachFrame, scanBlocks } from "./scan.ts";
import type { FrameView } from "./segment-format.ts";
import { SEGMENT_HEADER_BYTES } from "./segment-format.ts";
import {
  BYTES_RECORD_BYTES,
  checksumOf,
  encodeHeader,
  INDEX_RECORD_BYTES,
  orderByKey,
  type SidecarHeader,
  slackOf,
  STREAM_RECORD_BYTES,
} from "./sidecar.ts";
import { type StreamState, type StreamTable } from "./streams.ts";

export interface Sealed {
  readonly segment: number;
  readonly end: number;
}

interface SidecarSource {
  readonly disk: Disk;
  readonly folder: LogFolder;
  readonly streams: StreamTable;
  readonly sealed: Sealed;
  /** Where the segment before ended, for one that holds no block. */
  readonly before: { readonly lastCommit: number; readonly lastAt: number };
  /**
   * For a segment that is compacted: whether an entry is still to be found by its stream. `streams` then stands
   * where the segment ends already.
   */
  readonly isStored?: ((stream: StreamKey, sequence: number) => boolean) | undefined;
}

/** The ids of a segment as its sidecar lists them. */
export interface SegmentIds {
  readonly count: number;
  /** (hi, lo, frame offset/8) of each. */
  readonly words: Uint32Array;
}

/**
 * Reads a sealed segment and writes its sidecar, durably. `streams` must stand where the segment
 * begins, and stands where it ends afterwards. Rejects with `log_corrupt` when a block is damaged.
 */
export function writeSidecar(options: SidecarSource): { header: SidecarHeader; ids: SegmentIds } {
  try {
    const written = write(options);
    options.streams.forgetThrough(options.sealed.segment);
    return written;
  } catch (error) {
    options.streams.undo(options.sealed.segment);
    throw error;
  }
}

function write(options: SidecarSource): { header: SidecarHeader; ids: SegmentIds } {
  const { disk, folder, sealed } = options;
  const file = disk.openForRead(segmentPath(folder, sealed.segment, "seg"));
  try {
    const made = makeSidecar(options, file);
    publishFile(disk, folder, segmentPath(folder, sealed.segment, "idx"), (sidecar) => {
      let at = 0;
      for (const bytes of [encodeHeader(made.header), ...made.sections]) {
        disk.writeSync(sidecar, bytes, at);
        at += bytes.length;
      }
    });
    return made;
  } finally {
    disk.close(file);
  }
}

export interface MadeSidecar {
  readonly header: SidecarHeader;
  readonly ids: SegmentIds;
  /** What follows the header, in order. */
  readonly sections: readonly Buffer[];
}

/** Reads the blocks of a file and makes what finds their frames. `streams` as for `writeSidecar`. */
export function makeSidecar(options: SidecarSource, file: number): MadeSidecar {
  const { streams, sealed } = options;
  const content = readSegment(options, file);
  const ids = sortIds(content.ids);
  const sections = encodeStreams(streams, sealed.segment);
  const header: SidecarHeader = {
    segment: sealed.segment,
    end: sealed.end,
    lastCommit: content.lastCommit,
    firstAt: content.firstAt,
    lastAt: content.lastAt,
    indexed: sections.index.length / INDEX_RECORD_BYTES,
    ids: ids.count,
    idSlack: slackOf((i) => ids.words[i * 3] as number, ids.count),
    streams: sections.count,
    streamSlack: sections.slack,
    nameBytes: sections.nameBytes,
    streamsCrc: crc32(sections.directory),
    bytesCrc: checksumOf(sections.bytes),
  };
  const { directory, index, bytes } = sections;
  return { header, ids, sections: [asBytes(ids.words), directory, index, bytes] };
}

function asBytes(words: Uint32Array): Buffer {
  return Buffer.from(words.buffer, words.byteOffset, words.byteLength);
}

interface Content {
  readonly ids: WordList;
  lastCommit: number;
  firstAt: number;
  lastAt: number;
}

function readSegment(options: SidecarSource, file: number): Content {
  const { disk, folder, sealed, before } = options;
  const content: Content = {
    ids: new WordList(),
    firstAt: 0,
    lastCommit: before.lastCommit,
    lastAt: before.lastAt,
  };
  const { magic } = folder.identity;
  const scan = { disk, file, segment: sealed.segment, magic, from: SEGMENT_HEADER_BYTES, to: sealed.end, verify: true };
  const result = scanBlocks(scan, (block, bytes, at, offset) => {
    if (content.firstAt === 0) content.firstAt = block.receivedAt;
    content.lastAt = block.receivedAt;
    content.lastCommit = block.commit;
    eachFrame(block, bytes, at, (frame) => addFrame(content.ids, options, frame, offset - at));
  });
  if (result.reason !== "end") throw corrupt(folder, sealed.segment, result.end, "a block is not intact");
  if (content.firstAt === 0) content.firstAt = content.lastAt;
  return content;
}

function addFrame(ids: WordList, { streams, sealed, isStored }: SidecarSource, frame: FrameView, shift: number): void {
  const state = streams.ensure(frame.tenantId, frame.partition);
  const offset = frame.at + shift;
  streams.hash.digest(state.tenant.eventIds, frame.eventId);
  ids.push(streams.hash.hi, streams.hash.lo, offset >>> 3);
  const key = frame.idempotencyKey;
  if (key !== undefined) {
    streams.hash.digest(state.tenant.keys, key);
    ids.push(streams.hash.hi, streams.hash.lo, offset >>> 3);
  }
  const { sequence, bodyAt, bodyLength } = frame;
  if (isStored?.(state.key, sequence) === false) return;
  streams.record(state, { segment: sealed.segment, sequence, bodyOffset: bodyAt + shift, bodyLength });
  if (isStored === undefined) state.end = sequence + 1;
  else state.bytes -= bodyLength;
}

function sortIds({ words }: WordList): SegmentIds {
  const count = words.length / 3;
  const keys = new Uint32Array(count);
  for (let i = 0; i < count; i++) keys[i] = words[i * 3] as number;
  const order = orderByKey(keys);
  const sorted = new Uint32Array(words.length);
  for (let i = 0; i < count; i++) {
    const from = (order[i] as number) * 3;
    sorted[i * 3] = words[from] as number;
    sorted[i * 3 + 1] = words[from + 1] as number;
    sorted[i * 3 + 2] = words[from + 2] as number;
  }
  return { count, words: sorted };
}

function encodeStreams(streams: StreamTable, segment: number) {
  const states = [...streams.all()];
  const order = orderByKey(Uint32Array.from(states, (state) => state.hi));
  const sorted = Array.from(order, (i) => states[i] as StreamState);
  const names = Buffer.from(sorted.map((state) => state.key).join(""), "latin1");
  const records = Buffer.alloc(sorted.length * STREAM_RECORD_BYTES);
  const bytes = Buffer.alloc(sorted.length * BYTES_RECORD_BYTES);
  const index = new WordList();
  let nameOffset = 0;
  sorted.forEach((state, i) => {
    const run = state.runs.find((candidate) => candidate.segment === segment);
    const count = run === undefined ? 0 : run.places.length / 2;
    const at = i * STREAM_RECORD_BYTES;
    records.writeUInt32LE(state.hi, at);
    records.writeUInt32LE(state.lo, at + 4);
    records.writeDoubleLE(run === undefined ? state.end : run.first, at + 8);
    records.writeUInt32LE(count, at + 16);
    records.writeUInt32LE((index.length * 4) / INDEX_RECORD_BYTES, at + 20);
    records.writeUInt32LE(nameOffset, at + 24);
    records.writeUInt32LE(state.key.length, at + 28);
    bytes.writeDoubleLE(state.bytes, i * BYTES_RECORD_BYTES);
    if (run !== undefined) index.pushAll(run.places);
    nameOffset += state.key.length;
  });
  return {
    count: sorted.length,
    slack: slackOf((i) => (sorted[i] as StreamState).hi, sorted.length),
    nameBytes: names.length,
    directory: Buffer.concat([records, names]),
    index: asBytes(index.words),
    bytes,
  };
}

/** A growing list of 32-bit words without a box for each. */
class WordList {
  length = 0;
  private store = new Uint32Array(1 << 16);

  get words(): Uint32Array {
    return this.store.subarray(0, this.length);
  }

  push(a: number, b: number, c: number): void {
    this.reserve(3);
    this.store[this.length++] = a;
    this.store[this.length++] = b;
    this.store[this.length++] = c;
  }

  pushAll(words: readonly number[]): void {
    this.reserve(words.length);
    for (const word of words) this.store[this.length++] = word;
  }

  private reserve(more: number): void {
    if (this.length + more <= this.store.length) return;
    const larger = new Uint32Array(Math.max(this.store.length * 2, this.length + more));
    larger.set(this.store);
    this.store = larger;
  }
}
