import { crc32 } from "node:zlib";
import type { Disk } from "./disk.ts";
import { corrupt, type LogFolder, publishFile, segmentPath } from "./folder.ts";
import { eachFrame, scanBlocks } from "./scan.ts";
import type { FrameView } from "./segment-format.ts";
import { SEGMENT_HEADER_BYTES } from "./segment-format.ts";
import {
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
  const { disk, folder, streams, sealed } = options;
  const content = readSegment(options);
  const ids = sortIds(content.ids);
  const sections = encodeStreams(streams, sealed.segment);
  const header: SidecarHeader = {
    segment: sealed.segment,
    end: sealed.end,
    lastCommit: content.lastCommit,
    firstAt: content.firstAt,
    lastAt: content.lastAt,
    frames: content.frames,
    ids: ids.count,
    idSlack: slackOf((i) => ids.words[i * 3] as number, ids.count),
    streams: sections.count,
    streamSlack: sections.slack,
    nameBytes: sections.nameBytes,
    streamsCrc: crc32(sections.directory),
  };
  publishFile(disk, folder, segmentPath(folder, sealed.segment, "idx"), (file) => {
    let at = 0;
    for (const bytes of [encodeHeader(header), asBytes(ids.words), sections.directory, sections.index]) {
      disk.writeSync(file, bytes, at);
      at += bytes.length;
    }
  });
  return { header, ids };
}

function asBytes(words: Uint32Array): Buffer {
  return Buffer.from(words.buffer, words.byteOffset, words.byteLength);
}

interface Content {
  readonly ids: WordList;
  frames: number;
  lastCommit: number;
  firstAt: number;
  lastAt: number;
}

function readSegment(options: SidecarSource): Content {
  const { disk, folder, streams, sealed, before } = options;
  const content: Content = {
    ids: new WordList(),
    frames: 0,
    firstAt: 0,
    lastCommit: before.lastCommit,
    lastAt: before.lastAt,
  };
  const file = disk.openForRead(segmentPath(folder, sealed.segment, "seg"));
  try {
    const { magic } = folder.identity;
    const scan = {
      disk,
      file,
      segment: sealed.segment,
      magic,
      from: SEGMENT_HEADER_BYTES,
      to: sealed.end,
      verify: true,
    };
    const result = scanBlocks(scan, (block, bytes, at, offset) => {
      if (content.firstAt === 0) content.firstAt = block.receivedAt;
      content.lastAt = block.receivedAt;
      content.lastCommit = block.commit;
      content.frames += block.frames;
      eachFrame(block, bytes, at, (frame) =>
        addFrame(content.ids, streams, frame, { segment: sealed.segment, shift: offset - at }),
      );
    });
    if (result.reason !== "end") throw corrupt(folder, sealed.segment, result.end, "a block is not intact");
  } finally {
    disk.close(file);
  }
  if (content.firstAt === 0) content.firstAt = content.lastAt;
  return content;
}

function addFrame(
  ids: WordList,
  streams: StreamTable,
  frame: FrameView,
  place: { segment: number; shift: number },
): void {
  const state = streams.ensure(frame.tenantId, frame.partition);
  const offset = frame.at + place.shift;
  streams.hash.digest(state.tenant.eventIds, frame.eventId);
  ids.push(streams.hash.hi, streams.hash.lo, offset >>> 3);
  const key = frame.idempotencyKey;
  if (key !== undefined) {
    streams.hash.digest(state.tenant.keys, key);
    ids.push(streams.hash.hi, streams.hash.lo, offset >>> 3);
  }
  streams.record(state, {
    segment: place.segment,
    sequence: frame.sequence,
    bodyOffset: frame.bodyAt + place.shift,
    bodyLength: frame.bodyLength,
  });
  state.end = frame.sequence + 1;
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
    if (run !== undefined) index.pushAll(run.places);
    nameOffset += state.key.length;
  });
  return {
    count: sorted.length,
    slack: slackOf((i) => (sorted[i] as StreamState).hi, sorted.length),
    nameBytes: names.length,
    directory: Buffer.concat([records, names]),
    index: asBytes(index.words),
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
