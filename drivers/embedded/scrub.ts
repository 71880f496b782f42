import { errorCodeOf, type Disk } from "./disk.ts";
import { corrupt, type LogFolder, segmentPath } from "./folder.ts";
import type { EntryPlace } from "./reader.ts";
import { BLOCK_HEADER_BYTES, blockHeaderAt, eraseBody, sealBlock, SEGMENT_HEADER_BYTES } from "./segment-format.ts";

/** An event whose payload is to be taken out of its segment: all that it takes to do that, or to end it after a crash. */
export interface Scrub extends EntryPlace {
  /** The key of its stream. */
  readonly stream: string;
  readonly at: number;
  readonly blockOffset: number;
  readonly blockLength: number;
}

interface Segments {
  readonly disk: Disk;
  readonly folder: LogFolder;
}

const WINDOW_BYTES = 1 << 20;

/** Finds the blocks that bodies of one segment lie in. Those of a segment that is gone are left out. */
export async function blocksOf<T extends EntryPlace>(
  { disk, folder }: Segments,
  places: readonly T[],
): Promise<(T & Pick<Scrub, "blockOffset" | "blockLength">)[]> {
  const [{ segment } = { segment: 0 }] = places;
  const file = openIfThere(disk, segmentPath(folder, segment, "seg"));
  if (file === undefined) return [];
  try {
    const sorted = places.toSorted((a, b) => a.bodyOffset - b.bodyOffset);
    return await findBlocks({ disk, folder, file, segment }, sorted);
  } finally {
    disk.close(file);
  }
}

async function findBlocks<T extends EntryPlace>(
  { disk, folder, file, segment }: Segments & { readonly file: number; readonly segment: number },
  sorted: readonly T[],
): Promise<(T & Pick<Scrub, "blockOffset" | "blockLength">)[]> {
  const { magic } = folder.identity;
  const found: (T & Pick<Scrub, "blockOffset" | "blockLength">)[] = [];
  const window = Buffer.alloc(WINDOW_BYTES);
  let windowFrom = 0;
  let got = 0;
  for (let offset = SEGMENT_HEADER_BYTES; found.length < sorted.length; ) {
    if (offset < windowFrom || offset + BLOCK_HEADER_BYTES > windowFrom + got) {
      windowFrom = offset;
      got = await disk.read(file, window, offset);
    }
    const block = blockHeaderAt(window.subarray(0, got), offset - windowFrom, { magic, segment, offset });
    if (block === undefined) throw corrupt(folder, segment, offset, "a block is not as it was written");
    const end = offset + block.length;
    for (let next = sorted[found.length]; next !== undefined && next.bodyOffset < end; next = sorted[found.length])
      found.push({ ...next, blockOffset: offset, blockLength: block.length });
    offset = end;
  }
  return found;
}

/**
 * Takes payloads out of one segment, block by block, each body staying where it is and as long as it is.
 * Done over again it comes to the same, whatever of it was written before: that is what the journal is for.
 */
export function scrubSegment({ disk, folder }: Segments, scrubs: readonly Scrub[]): void {
  const [{ segment } = { segment: 0 }] = scrubs;
  const path = segmentPath(folder, segment, "seg");
  const file = openIfThere(disk, path);
  if (file === undefined) return;
  disk.close(file);
  const writing = disk.openForAppend(path);
  try {
    for (const [offset, inBlock] of Map.groupBy(scrubs, (one) => one.blockOffset)) {
      const block = Buffer.alloc((inBlock[0] as Scrub).blockLength);
      disk.readSync(writing, block, offset);
      for (const { bodyOffset, bodyLength: length, at } of inBlock)
        eraseBody(block, { bodyAt: bodyOffset - offset, length, at });
      sealBlock(block);
      disk.writeSync(writing, block, offset);
    }
    disk.sync(writing);
  } finally {
    disk.close(writing);
  }
}

function openIfThere(disk: Disk, path: string): number | undefined {
  try {
    return disk.openForRead(path);
  } catch (error) {
    if (errorCodeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}
