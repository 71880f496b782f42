import { errorCodeOf, type Disk } from "./disk.ts";
import { listSegments, type LogFolder, segmentPath } from "./folder.ts";
import {
  BYTES_RECORD_BYTES,
  checksumOf,
  decodeFooter,
  decodeHeader,
  FOOTER_BYTES,
  guessPlace,
  ID_RECORD_BYTES,
  INDEX_RECORD_BYTES,
  layoutOf,
  SIDECAR_HEADER_BYTES,
  type SidecarHeader,
  STREAM_RECORD_BYTES,
} from "./sidecar.ts";
import { crc32 } from "node:zlib";
import type { SealedRun } from "./streams.ts";

/** Fills the buffer from a file; at once in a thread of its own, later on the thread that must not wait. */
export type ReadAt = (file: number, target: Buffer, position: number) => void | Promise<void>;

export interface OpenSidecar {
  readonly file: number;
  readonly header: SidecarHeader;
  /** Where it begins in the file: not 0 in a compacted segment. */
  readonly base: number;
}

/** Opens a sidecar, beside its segment or in it, or tells that there is no intact one. */
export function openSidecar(disk: Disk, folder: LogFolder, segment: number): OpenSidecar | undefined {
  const beside = openIfThere(disk, segmentPath(folder, segment, "idx"));
  if (beside !== undefined) return openAt(disk, segment, { file: beside, base: 0, end: disk.size(beside) });
  return openCompacted(disk, folder, segment);
}

/** Opens a segment by the sidecar in it; undefined when it was not compacted. */
export function openCompacted(disk: Disk, folder: LogFolder, segment: number): OpenSidecar | undefined {
  const file = openIfThere(disk, segmentPath(folder, segment, "seg"));
  if (file === undefined) return undefined;
  const end = disk.size(file) - FOOTER_BYTES;
  const footer = Buffer.alloc(FOOTER_BYTES);
  if (end > 0) disk.readSync(file, footer, end);
  const base = decodeFooter(footer);
  if (base !== undefined && base < end) return openAt(disk, segment, { file, base, end });
  disk.close(file);
  return undefined;
}

/** A crash may leave the sidecar of a segment as it was before it was compacted. */
export function removeStaleSidecars(disk: Disk, folder: LogFolder): void {
  for (const segment of listSegments(disk, folder, "idx")) {
    const size = disk.sizeOf(segmentPath(folder, segment, "seg"));
    if (size === 0 || size === folder.identity.segmentBytes) continue;
    const compacted = openCompacted(disk, folder, segment);
    if (compacted === undefined) continue;
    disk.close(compacted.file);
    disk.remove(segmentPath(folder, segment, "idx"));
  }
}

function openAt(
  disk: Disk,
  segment: number,
  { file, base, end }: { readonly file: number; readonly base: number; readonly end: number },
): OpenSidecar | undefined {
  const bytes = Buffer.alloc(SIDECAR_HEADER_BYTES);
  disk.readSync(file, bytes, base);
  const header = decodeHeader(bytes, segment);
  if (header !== undefined) {
    const sidecar = { file, header, base };
    const isWhole = end === layoutOf(header, base).end;
    // A damaged directory would make a stream's events look as if they had never been.
    if (isWhole && directoryBytes(disk, sidecar) !== undefined) return sidecar;
  }
  disk.close(file);
  return undefined;
}

function openIfThere(disk: Disk, path: string): number | undefined {
  try {
    return disk.openForRead(path);
  } catch (error) {
    if (errorCodeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Windows of id sections: a false alarm of a filter must leave nothing behind for the collector. */
const spareWindows: Buffer[] = [];
const SPARE_WINDOWS_MAX = 64;

/** Frame offsets of the ids with this hash, newest first. */
export async function findIds(
  sidecar: OpenSidecar,
  hash: { hi: number; lo: number },
  readAt: ReadAt,
): Promise<number[]> {
  const { header, file, base } = sidecar;
  const window = windowOf(hash.hi, header.ids, header.idSlack);
  const length = (window.to - window.from) * ID_RECORD_BYTES;
  let spare = spareWindows.pop();
  if (spare === undefined || spare.length < length)
    spare = Buffer.allocUnsafeSlow(2 ** Math.ceil(Math.log2(length + 1)));
  const bytes = spare.subarray(0, length);
  const reading = readAt(file, bytes, layoutOf(header, base).idsAt + window.from * ID_RECORD_BYTES);
  if (reading !== undefined) await reading;
  const found: number[] = [];
  for (
    let at = lowerBound(bytes, ID_RECORD_BYTES, hash.hi);
    at < length && bytes.readUInt32LE(at) === hash.hi;
    at += ID_RECORD_BYTES
  ) {
    if (bytes.readUInt32LE(at + 4) === hash.lo) found.push(bytes.readUInt32LE(at + 8) * 8);
  }
  if (spareWindows.length < SPARE_WINDOWS_MAX) spareWindows.push(spare);
  return found.reverse();
}

export interface StreamRef {
  readonly key: string;
  readonly hi: number;
  readonly lo: number;
}

/** What the sidecar knows of a stream; undefined when the stream was not known then. `count` may be 0. */
export async function findStream(
  sidecar: OpenSidecar,
  stream: StreamRef,
  readAt: ReadAt,
): Promise<SealedRun | undefined> {
  const { header, file, base } = sidecar;
  const layout = layoutOf(header, base);
  const window = windowOf(stream.hi, header.streams, header.streamSlack);
  const bytes = Buffer.allocUnsafe((window.to - window.from) * STREAM_RECORD_BYTES);
  const reading = readAt(file, bytes, layout.streamsAt + window.from * STREAM_RECORD_BYTES);
  if (reading !== undefined) await reading;
  for (
    let at = lowerBound(bytes, STREAM_RECORD_BYTES, stream.hi);
    at < bytes.length && bytes.readUInt32LE(at) === stream.hi;
    at += STREAM_RECORD_BYTES
  ) {
    if (bytes.readUInt32LE(at + 4) !== stream.lo) continue;
    const record = streamRecord(bytes, at);
    const name = Buffer.allocUnsafe(record.nameLength);
    const readingName = readAt(file, name, layout.namesAt + record.nameOffset);
    if (readingName !== undefined) await readingName;
    if (name.toString("latin1") === stream.key) {
      const { first, count, indexStart } = record;
      const number = window.from + at / STREAM_RECORD_BYTES;
      return {
        segment: header.segment,
        first,
        count,
        indexStart,
        bytesThrough: await bytesAt(sidecar, number, readAt),
      };
    }
  }
  return undefined;
}

/** Of all bodies of the stream with this number up to the end of the segment. */
async function bytesAt({ header, file, base }: OpenSidecar, number: number, readAt: ReadAt): Promise<number> {
  if (header.bytesCrc === 0) return 0;
  const bytes = Buffer.allocUnsafe(BYTES_RECORD_BYTES);
  const reading = readAt(file, bytes, layoutOf(header, base).bytesAt + number * BYTES_RECORD_BYTES);
  if (reading !== undefined) await reading;
  return bytes.readDoubleLE(0);
}

/** Body offset and length of `count` entries of a run, from its entry number `skip` on. */
export async function readIndex(
  sidecar: OpenSidecar,
  run: SealedRun,
  range: { skip: number; count: number },
  readAt: ReadAt,
): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(range.count * INDEX_RECORD_BYTES);
  const reading = readAt(
    sidecar.file,
    bytes,
    layoutOf(sidecar.header, sidecar.base).indexAt + (run.indexStart + range.skip) * INDEX_RECORD_BYTES,
  );
  if (reading !== undefined) await reading;
  return bytes;
}

/** The whole index of frames. */
export function readIndexOf(disk: Disk, { file, header, base }: OpenSidecar): Buffer {
  const bytes = Buffer.alloc(header.indexed * INDEX_RECORD_BYTES);
  disk.readSync(file, bytes, layoutOf(header, base).indexAt);
  return bytes;
}

export interface DirectoryEntry {
  readonly key: string;
  readonly first: number;
  readonly count: number;
  /** Of its first entry, in the sidecar's index of frames. */
  readonly indexStart: number;
  /** Of all bodies of the stream up to the end of the segment. */
  readonly bytesThrough: number;
}

/** All streams of a sidecar; undefined when a section's checksum is wrong. */
export function readDirectory(disk: Disk, sidecar: OpenSidecar): DirectoryEntry[] | undefined {
  const { header, base } = sidecar;
  const layout = layoutOf(header, base);
  const bytes = directoryBytes(disk, sidecar);
  const sizes = sizesOf(disk, sidecar);
  if (bytes === undefined || sizes === undefined) return undefined;
  const names = bytes.subarray(layout.namesAt - layout.streamsAt);
  return Array.from({ length: header.streams }, (_, i) => {
    const record = streamRecord(bytes, i * STREAM_RECORD_BYTES);
    const key = names.toString("latin1", record.nameOffset, record.nameOffset + record.nameLength);
    const bytesThrough = sizes.readDoubleLE(i * BYTES_RECORD_BYTES);
    const { first, count, indexStart } = record;
    return { key, first, count, indexStart, bytesThrough };
  });
}

function sizesOf(disk: Disk, { header, file, base }: OpenSidecar): Buffer | undefined {
  const bytes = Buffer.alloc(header.streams * BYTES_RECORD_BYTES);
  if (header.bytesCrc === 0) return bytes;
  disk.readSync(file, bytes, layoutOf(header, base).bytesAt);
  return checksumOf(bytes) === header.bytesCrc ? bytes : undefined;
}

function directoryBytes(disk: Disk, { header, file, base }: OpenSidecar): Buffer | undefined {
  const layout = layoutOf(header, base);
  const bytes = Buffer.allocUnsafe(layout.indexAt - layout.streamsAt);
  disk.readSync(file, bytes, layout.streamsAt);
  return crc32(bytes) === header.streamsCrc ? bytes : undefined;
}

/** So many records are read at one time: a buffer for a whole section would be garbage that stays in memory for long. */
const ID_SLICE_RECORDS = 4096;

/** Hashes of all ids, as pairs (hi, lo). */
export function readIdHashes(disk: Disk, sidecar: OpenSidecar, visit: (hi: number, lo: number) => void): void {
  const { ids } = sidecar.header;
  const words = new Uint32Array((ID_SLICE_RECORDS * ID_RECORD_BYTES) / 4);
  const bytes = Buffer.from(words.buffer);
  for (let from = 0; from < ids; from += ID_SLICE_RECORDS) {
    const count = Math.min(ID_SLICE_RECORDS, ids - from);
    const at = layoutOf(sidecar.header, sidecar.base).idsAt + from * ID_RECORD_BYTES;
    disk.readSync(sidecar.file, bytes.subarray(0, count * ID_RECORD_BYTES), at);
    for (let i = 0; i < count * 3; i += 3) visit(words[i] as number, words[i + 1] as number);
  }
}

function streamRecord(bytes: Buffer, at: number) {
  return {
    first: bytes.readDoubleLE(at + 8),
    count: bytes.readUInt32LE(at + 16),
    indexStart: bytes.readUInt32LE(at + 20),
    nameOffset: bytes.readUInt32LE(at + 24),
    nameLength: bytes.readUInt32LE(at + 28),
  };
}

function windowOf(key: number, count: number, slack: number): { from: number; to: number } {
  const guess = guessPlace(key, count);
  // Records of an equal key lie within the slack of the same guess, so the window holds all of them.
  return { from: Math.max(0, guess - slack), to: Math.min(count, guess + slack + 1) };
}

/** Index in bytes of the first record whose key is not below `key`. */
function lowerBound(bytes: Buffer, recordBytes: number, key: number): number {
  let low = 0;
  let high = bytes.length / recordBytes;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (bytes.readUInt32LE(middle * recordBytes) < key) low = middle + 1;
    else high = middle;
  }
  return low * recordBytes;
}
