import { crc32 } from "node:zlib";
import { filterAdd, filterBytes } from "./bloom.ts";
import type { Disk } from "./disk.ts";
import { type LogFolder, publishFile, segmentPath } from "./folder.ts";

const HEADER_BYTES = 64;
const MAGIC = 0x32_46_47_50;

/** Plain data, so that it can be posted between threads; `bits` is shared memory. */
export interface FilterGroup {
  readonly first: number;
  readonly last: number;
  readonly ids: number;
  /** Times of acceptance of the oldest and newest entry, ms since the epoch. */
  readonly firstAt: number;
  readonly lastAt: number;
  readonly bits: SharedArrayBuffer;
}

export interface SegmentFacts {
  readonly segment: number;
  readonly ids: number;
  readonly firstAt: number;
  readonly lastAt: number;
}

/** The group that takes the segment's ids in: the given one while it has room, else a new one for `idsMax` ids. */
export function growGroup(group: FilterGroup | undefined, facts: SegmentFacts, idsMax: number): FilterGroup {
  if (group !== undefined && group.last + 1 === facts.segment && group.ids + facts.ids <= capacityOf(group)) {
    return { ...group, last: facts.segment, ids: group.ids + facts.ids, lastAt: facts.lastAt };
  }
  const bits = new SharedArrayBuffer(filterBytes(Math.max(facts.ids, idsMax)));
  return {
    first: facts.segment,
    last: facts.segment,
    ids: facts.ids,
    firstAt: facts.firstAt,
    lastAt: facts.lastAt,
    bits,
  };
}

function capacityOf(group: FilterGroup): number {
  return group.bits.byteLength / 2;
}

export function addToGroup(group: FilterGroup): (hi: number, lo: number) => void {
  const words = new Int32Array(group.bits);
  return (hi, lo) => filterAdd(words, hi, lo);
}

/** Keeps a group that takes nothing more, so that a restart need not build it again. */
export function writeGroup(disk: Disk, folder: LogFolder, group: FilterGroup): void {
  const bits = Buffer.from(new Uint8Array(group.bits));
  const head = Buffer.alloc(HEADER_BYTES);
  head.writeUInt32LE(MAGIC, 0);
  head.writeUInt32LE(group.first, 4);
  head.writeUInt32LE(group.last, 8);
  head.writeUInt32LE(group.ids, 12);
  head.writeDoubleLE(group.firstAt, 16);
  head.writeDoubleLE(group.lastAt, 24);
  head.writeUInt32LE(bits.length, 32);
  head.writeUInt32LE(crc32(bits), 36);
  head.writeUInt32LE(crc32(head.subarray(0, 60)), 60);
  publishFile(disk, folder, segmentPath(folder, group.first, "flt"), (file) => {
    disk.writeSync(file, head, 0);
    disk.writeSync(file, bits, HEADER_BYTES);
  });
}

/** Undefined when there is no intact one. */
export function readGroup(disk: Disk, folder: LogFolder, first: number): FilterGroup | undefined {
  const file = disk.openForRead(segmentPath(folder, first, "flt"));
  try {
    const head = Buffer.alloc(HEADER_BYTES);
    if (disk.readSync(file, head, 0) < HEADER_BYTES) return undefined;
    if (
      head.readUInt32LE(0) !== MAGIC ||
      head.readUInt32LE(4) !== first ||
      head.readUInt32LE(60) !== crc32(head.subarray(0, 60))
    )
      return undefined;
    const bits = new SharedArrayBuffer(head.readUInt32LE(32));
    const bytes = new Uint8Array(bits);
    if (disk.readSync(file, bytes, HEADER_BYTES) < bytes.length || crc32(bytes) !== head.readUInt32LE(36))
      return undefined;
    return {
      first,
      last: head.readUInt32LE(8),
      ids: head.readUInt32LE(12),
      firstAt: head.readDoubleLE(16),
      lastAt: head.readDoubleLE(24),
      bits,
    };
  } finally {
    disk.close(file);
  }
}
