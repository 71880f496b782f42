import type { Disk } from "./disk.ts";
import { type LogFolder, segmentPath } from "./folder.ts";
import {
  decodeHeader,
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
}

/** Opens a sidecar, or tells that there is no intact one. */
export function openSidecar(disk: Disk, folder: LogFolder, segment: number): OpenSidecar | undefined {
  let file: number;
  try {
    file = disk.openForRead(segmentPath(folder, segment, "idx"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const bytes = Buffer.alloc(SIDECAR_HEADER_BYTES);
  disk.readSync(file, bytes, 0);
  const header = decodeHeader(bytes, segment);
  if (header !== undefined) {
    const { indexAt } = layoutOf(header);
    const sidecar = { file, header };
    const isWhole = disk.size(file) === indexAt + header.frames * INDEX_RECORD_BYTES;
    // A damaged directory would make a stream's events look as if they had never been.
    if (isWhole && directoryBytes(disk, sidecar) !== undefined) return sidecar;
  }
  disk.close(file);
  return undefined;
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
  const { header, file } = sidecar;
  const window = windowOf(hash.hi, header.ids, header.idSlack);
  const length = (window.to - window.from) * ID_RECORD_BYTES;
  let spare = spareWindows.pop();
  if (spare === undefined || spare.length < length)
    spare = Buffer.allocUnsafeSlow(2 ** Math.ceil(Math.log2(length + 1)));
  const bytes = spare.subarray(0, length);
  const reading = readAt(file, bytes, layoutOf(header).idsAt + window.from * ID_RECORD_BYTES);
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
  const { header, file } = sidecar;
  const layout = layoutOf(header);
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
      return { segment: header.segment, first: record.first, count: record.count, indexStart: record.indexStart };
    }
  }
  return undefined;
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
    layoutOf(sidecar.header).indexAt + (run.indexStart + range.skip) * INDEX_RECORD_BYTES,
  );
  if (reading !== undefined) await reading;
  return bytes;
}

export interface DirectoryEntry {
  readonly key: string;
  readonly first: number;
  readonly count: number;
}

/** All streams of a sidecar; undefined when the section's checksum is wrong. */
export function readDirectory(disk: Disk, sidecar: OpenSidecar): DirectoryEntry[] | undefined {
  const { header } = sidecar;
  const layout = layoutOf(header);
  const bytes = directoryBytes(disk, sidecar);
  if (bytes === undefined) return undefined;
  const names = bytes.subarray(layout.namesAt - layout.streamsAt);
  return Array.from({ length: header.streams }, (_, i) => {
    const record = streamRecord(bytes, i * STREAM_RECORD_BYTES);
    const key = names.toString("latin1", record.nameOffset, record.nameOffset + record.nameLength);
    return { key, first: record.first, count: record.count };
  });
}

function directoryBytes(disk: Disk, { header, file }: OpenSidecar): Buffer | undefined {
  const layout = layoutOf(header);
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
    const at = layoutOf(sidecar.header).idsAt + from * ID_RECORD_BYTES;
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
