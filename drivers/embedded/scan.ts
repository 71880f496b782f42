import type { Disk } from "./disk.ts";
import {
  SEGMENT_HEADER_BYTES,
  BLOCK_HEADER_BYTES,
  type BlockHeader,
  blockHeaderAt,
  FrameView,
  isBlockIntact,
} from "./segment-format.ts";

const WINDOW_BYTES = 1 << 20;

export interface ScanOptions {
  readonly disk: Disk;
  readonly file: number;
  readonly segment: number;
  readonly magic: number;
  readonly from: number;
  /** Stop here: the known end of the blocks, or the size of the file. */
  readonly to: number;
  /** Compare checksums. */
  readonly verify: boolean;
  /** Read so much at once; 1 MiB. */
  readonly windowBytes?: number;
}

export interface ScanEnd {
  /** One past the last good block. */
  readonly end: number;
  readonly lastCommit: number | undefined;
  /** Why the scan stopped: at `to`, at bytes that were never written, or at bytes that are no intact block. */
  readonly reason: "end" | "unwritten" | "damaged";
}

/**
 * `offset` is where the block starts in the segment, `at` where it starts in `bytes`, which are the
 * scanner's own. False: this block is not wanted, and none behind it.
 */
export type BlockVisitor = (block: BlockHeader, bytes: Buffer, at: number, offset: number) => false | void;

/** Reads the blocks of a segment in order, in large reads, and shows each good one. */
export function scanBlocks(options: ScanOptions, visit: BlockVisitor): ScanEnd {
  const { disk, file, segment, magic, to } = options;
  let window: Buffer = Buffer.allocUnsafe(
    Math.min(options.windowBytes ?? WINDOW_BYTES, Math.max(to - options.from, 0)),
  );
  let windowFrom = options.from;
  let windowBytes = 0;
  let offset = options.from;
  let lastCommit: number | undefined;
  /** Makes `length` bytes from `offset` on available; false when the segment ends before. */
  const load = (length: number): boolean => {
    if (offset + length > to) return false;
    if (offset + length <= windowFrom + windowBytes) return true;
    if (length > window.length) window = Buffer.allocUnsafe(length);
    windowFrom = offset;
    windowBytes = disk.readSync(file, window.subarray(0, Math.min(window.length, to - offset)), offset);
    return length <= windowBytes;
  };
  while (offset < to) {
    if (!load(BLOCK_HEADER_BYTES))
      return { end: offset, lastCommit, reason: to - offset < BLOCK_HEADER_BYTES ? "unwritten" : "damaged" };
    const head = blockHeaderAt(window, offset - windowFrom, { magic, segment, offset });
    if (head === undefined) {
      const reason = isUnwritten(window, offset - windowFrom) ? "unwritten" : "damaged";
      return { end: offset, lastCommit, reason };
    }
    if (!load(head.length)) return { end: offset, lastCommit, reason: "damaged" };
    const at = offset - windowFrom;
    if (options.verify && !isBlockIntact(window, at, head.length))
      return { end: offset, lastCommit, reason: "damaged" };
    if (visit(head, window, at, offset) === false) break;
    lastCommit = head.commit;
    offset += head.length;
  }
  return { end: offset, lastCommit, reason: "end" };
}

function isUnwritten(bytes: Buffer, at: number): boolean {
  for (let i = at; i < at + BLOCK_HEADER_BYTES; i++) if (bytes[i] !== 0) return false;
  return true;
}

/** The first block of a segment, if it is intact. */
export function firstBlock(options: Omit<ScanOptions, "from" | "verify">): BlockHeader | undefined {
  let found: BlockHeader | undefined;
  scanBlocks({ ...options, from: SEGMENT_HEADER_BYTES, verify: true, windowBytes: 4096 }, (block) => {
    found = block;
    return false;
  });
  return found;
}

const view = new FrameView();

/** Shows the frames of a block; the view is valid during the call only. */
export function eachFrame(block: BlockHeader, bytes: Buffer, at: number, visit: (frame: FrameView) => void): void {
  let frameAt = at + BLOCK_HEADER_BYTES;
  for (let i = 0; i < block.frames; i++) {
    view.move(bytes, frameAt);
    visit(view);
    frameAt += view.length;
  }
}

/**
 * The first intact block at or behind `from`, if there is one: what tells a torn tail from a damaged
 * middle. Costs little where nothing was ever written.
 */
export function findIntactBlock(options: ScanOptions): number | undefined {
  const { disk, file, segment, magic, from, to } = options;
  const written = lastWritten(options);
  if (written === from) return undefined;
  // The padding of the last block may be zeros too.
  const bytes = Buffer.allocUnsafe(Math.min(to, written + 8) - from);
  const length = disk.readSync(file, bytes, from);
  const mark = Buffer.alloc(4);
  mark.writeUInt32LE(magic);
  for (let at = bytes.indexOf(mark); at !== -1 && at < length; at = bytes.indexOf(mark, at + 1)) {
    if ((from + at) % 8 !== 0) continue;
    const head = blockHeaderAt(bytes, at, { magic, segment, offset: from + at });
    if (head !== undefined && at + head.length <= length && isBlockIntact(bytes, at, head.length)) return from + at;
  }
  return undefined;
}

/** One past the last byte that is not zero, at or behind `from`; `from` when all are. */
export function lastWritten(options: ScanOptions): number {
  const { disk, file, from, to } = options;
  const window = Buffer.allocUnsafe(WINDOW_BYTES);
  const zeros = Buffer.alloc(WINDOW_BYTES);
  let end = from;
  for (let at = from; at < to; at += WINDOW_BYTES) {
    const bytes = window.subarray(0, Math.min(WINDOW_BYTES, to - at));
    const length = disk.readSync(file, bytes, at);
    if (bytes.subarray(0, length).equals(zeros.subarray(0, length))) continue;
    let last = length;
    while (last > 0 && bytes[last - 1] === 0) last--;
    end = at + last;
  }
  return end;
}
