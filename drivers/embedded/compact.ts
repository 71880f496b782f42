import { type StreamKey, streamKey } from "../../core/ingestion/log.ts";
import type { Disk } from "./disk.ts";
import { corrupt, type LogFolder, segmentPath } from "./folder.ts";
import { eachFrame, scanBlocks } from "./scan.ts";
import { encodeBlock, encodeSegmentHeader, frameWithoutPayload, SEGMENT_HEADER_BYTES } from "./segment-format.ts";
import { type DirectoryEntry, openSidecar, type OpenSidecar, readDirectory, readIndexOf } from "./sidecar-reader.ts";
import { encodeFooter, encodeHeader, INDEX_RECORD_BYTES } from "./sidecar.ts";
import { makeSidecar } from "./sidecar-writer.ts";
import { StreamTable } from "./streams.ts";

export interface CompactOptions {
  readonly disk: Disk;
  readonly folder: LogFolder;
  readonly segment: number;
  /** Stream → its entries before this sequence are let go of. */
  readonly marks: ReadonlyMap<StreamKey, number>;
  /** Events accepted later keep their names, without a payload, so that a repeat is recognised. */
  readonly namesSince: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** Of this segment, erased payloads that still take up their room. */
  readonly erasedBytes: number;
  /** Compact from this share of dead bytes on. */
  readonly deadShareMin: number;
  /** Called right before and right after the files change. */
  readonly switching: () => void;
}

const BLOCK_BYTES_MAX = 256 << 10;
/** What an event comes to without its payload, about. */
const NAMES_BYTES = 300;

/**
 * Rewrites a sealed segment without what nobody can read any more, if that is worth it; whether it was. The
 * blocks and the sidecar that finds their frames are one file, which takes the place of the old one in one step.
 */
export function compactSegment(options: CompactOptions): boolean {
  const { disk, folder, segment } = options;
  const sidecar = openSidecar(disk, folder, segment);
  if (sidecar === undefined) return false;
  try {
    const directory = readDirectory(disk, sidecar);
    if (directory === undefined) return false;
    const stored = new Map(directory.map((entry) => [entry.key, firstStored(entry, options.marks)]));
    if (!isWorthIt(options, sidecar, { directory, stored })) return false;
    return rewrite(options, sidecar, { directory, stored });
  } finally {
    disk.close(sidecar.file);
  }
}

interface Content {
  readonly directory: readonly DirectoryEntry[];
  /** Stream → its first entry that stays. */
  readonly stored: ReadonlyMap<StreamKey, number>;
}

function firstStored({ key, first, count }: DirectoryEntry, marks: ReadonlyMap<StreamKey, number>): number {
  return Math.min(Math.max(first, marks.get(key) ?? 0), first + count);
}

function isWorthIt(
  { disk, namesSince, erasedBytes, deadShareMin }: CompactOptions,
  sidecar: OpenSidecar,
  { directory, stored }: Content,
): boolean {
  const keepsNames = sidecar.header.lastAt > namesSince;
  const index = readIndexOf(disk, sidecar);
  let all = 0;
  let dead = erasedBytes;
  for (const { key, first, count, indexStart } of directory) {
    for (let i = 0; i < count; i++) {
      const length = index.readUInt32LE((indexStart + i) * INDEX_RECORD_BYTES + 4);
      all += length;
      if (first + i < (stored.get(key) as number)) dead += keepsNames ? Math.max(length - NAMES_BYTES, 0) : length;
    }
  }
  return dead > 0 && dead >= all * deadShareMin;
}

function rewrite(options: CompactOptions, sidecar: OpenSidecar, content: Content): boolean {
  const { disk, folder, segment, switching } = options;
  const path = segmentPath(folder, segment, "seg");
  const temporary = `${path}.tmp`;
  const file = disk.create(temporary);
  try {
    const end = copyBlocks(options, sidecar, content, file);
    const size = appendSidecar(options, sidecar, content, { file, end });
    disk.sync(file);
    // Its size tells a compacted segment from one that was only filled.
    if (size >= disk.sizeOf(path) || size >= folder.identity.segmentBytes) return false;
    switching();
    try {
      disk.rename(temporary, path);
      disk.syncFolder(folder.segments);
      disk.remove(segmentPath(folder, segment, "idx"));
    } finally {
      switching();
    }
    disk.syncFolder(folder.segments);
    return true;
  } finally {
    disk.close(file);
    disk.remove(temporary);
  }
}

/** Copies the frames that stay, block by block; one past the last. */
function copyBlocks(options: CompactOptions, { header }: OpenSidecar, { stored }: Content, target: number): number {
  const { disk, folder, segment } = options;
  const { magic } = folder.identity;
  const writer = new BlockCopier(options, { target, commit: header.lastCommit, receivedAt: header.firstAt });
  const source = disk.openForRead(segmentPath(folder, segment, "seg"));
  try {
    const from = SEGMENT_HEADER_BYTES;
    const scan = { disk, file: source, segment, magic, from, to: header.end, verify: true };
    const result = scanBlocks(scan, (block, bytes, at) =>
      eachFrame(block, bytes, at, (frame) => {
        const key = streamKey({ tenantId: frame.tenantId, partition: frame.partition });
        const isStored = frame.sequence >= (stored.get(key) ?? 0);
        if (isStored && !frame.isErased) writer.add(frame.copy(), frame.receivedAt);
        else if (isStored || frame.receivedAt > options.namesSince)
          writer.add(frameWithoutPayload(frame, options.at), frame.receivedAt);
      }),
    );
    if (result.reason !== "end") throw corrupt(folder, segment, result.end, "a block is not intact");
  } finally {
    disk.close(source);
  }
  disk.writeSync(target, encodeSegmentHeader(segment, magic), 0);
  return writer.finish();
}

class BlockCopier {
  private readonly options: CompactOptions;
  private readonly target: number;
  private readonly commit: number;
  private receivedAt: number;
  private frames: Buffer[] = [];
  private bytes = 0;
  private offset = SEGMENT_HEADER_BYTES;

  constructor(options: CompactOptions, to: { target: number; commit: number; receivedAt: number }) {
    this.options = options;
    this.target = to.target;
    this.commit = to.commit;
    this.receivedAt = to.receivedAt;
  }

  add(frame: Buffer, receivedAt: number): void {
    this.frames.push(frame);
    this.bytes += frame.length;
    this.receivedAt = receivedAt;
    if (this.bytes >= BLOCK_BYTES_MAX) this.write();
  }

  finish(): number {
    if (this.frames.length > 0) this.write();
    return this.offset;
  }

  private write(): void {
    const { disk, folder, segment } = this.options;
    const { offset, commit, receivedAt } = this;
    const block = encodeBlock(this.frames, { magic: folder.identity.magic, segment, offset, commit, receivedAt });
    disk.writeSync(this.target, block, offset);
    this.offset += block.length;
    this.frames = [];
    this.bytes = 0;
  }
}

/** Reads what was written and appends what finds it; the size of the file. */
function appendSidecar(
  { disk, folder, segment }: CompactOptions,
  { header: before }: OpenSidecar,
  { directory, stored }: Content,
  { file, end }: { readonly file: number; readonly end: number },
): number {
  const streams = new StreamTable(folder.identity);
  streams.load(directory.map((entry) => ({ ...entry, first: entry.first + entry.count, count: 0 })));
  const sealed = { segment, end };
  const isStored = (key: StreamKey, sequence: number): boolean => sequence >= (stored.get(key) ?? 0);
  const { header, sections } = makeSidecar({ disk, folder, streams, sealed, before, isStored }, file);
  const { firstAt, lastAt, lastCommit } = before;
  let at = end;
  for (const bytes of [encodeHeader({ ...header, firstAt, lastAt, lastCommit }), ...sections, encodeFooter(end)]) {
    disk.writeSync(file, bytes, at);
    at += bytes.length;
  }
  return at;
}
