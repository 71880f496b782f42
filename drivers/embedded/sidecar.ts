import { crc32 } from "node:zlib";

/**
 * A sidecar lies beside a sealed segment and finds its frames: by hash of event id or idempotency
 * key, and by stream. Sections of fixed-size records sorted by a uniform hash; a lookup guesses the
 * place from the hash and reads the few records around it (`slack`, measured when written) at once.
 *
 *     header   128 bytes, see below
 *     ids      hi u32 · lo u32 · frame offset/8 u32
 *     streams  hi u32 · lo u32 · first sequence f64 · count u32 · index start u32 · name offset u32 · name length u32
 *     names    stream keys, Latin-1
 *     index    body offset u32 · body length u32, by stream, in order
 *     bytes    bytes of all bodies of a stream so far f64, in the order of `streams`
 *
 * `streams` holds every stream known when the segment was sealed, also those without an entry in it:
 * the newest sidecar is the record of all ends, and a stream's segment is found by binary search.
 *
 * A segment that was compacted has no sidecar beside it: it follows its blocks, in the same file, so that both
 * change in one step; 16 bytes at the end tell where it begins (f64), a mark, and their checksum.
 */
export const SIDECAR_HEADER_BYTES = 128;
export const ID_RECORD_BYTES = 12;
export const STREAM_RECORD_BYTES = 32;
export const INDEX_RECORD_BYTES = 8;
export const BYTES_RECORD_BYTES = 8;
const MAGIC = 0x31_49_47_50;
export const FOOTER_BYTES = 16;
const FOOTER_MAGIC = 0x31_43_47_50;

export function encodeFooter(base: number): Buffer {
  const bytes = Buffer.alloc(FOOTER_BYTES);
  bytes.writeDoubleLE(base, 0);
  bytes.writeUInt32LE(FOOTER_MAGIC, 8);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 12)), 12);
  return bytes;
}

/** Where the sidecar begins; undefined when these bytes are no footer. */
export function decodeFooter(bytes: Buffer): number | undefined {
  const isFooter = bytes.readUInt32LE(8) === FOOTER_MAGIC && bytes.readUInt32LE(12) === crc32(bytes.subarray(0, 12));
  return isFooter ? bytes.readDoubleLE(0) : undefined;
}

export interface SidecarHeader {
  readonly segment: number;
  /** Of the segment's blocks. */
  readonly end: number;
  readonly lastCommit: number;
  readonly firstAt: number;
  readonly lastAt: number;
  /** Entries that the index of frames finds. */
  readonly indexed: number;
  readonly ids: number;
  readonly idSlack: number;
  readonly streams: number;
  readonly streamSlack: number;
  readonly nameBytes: number;
  /** Checksum of streams and names. */
  readonly streamsCrc: number;
  /** Checksum of the section of bytes; 0 where there is none: a sidecar that was made before there was. */
  readonly bytesCrc: number;
}

export interface SidecarLayout {
  readonly idsAt: number;
  readonly streamsAt: number;
  readonly namesAt: number;
  readonly indexAt: number;
  readonly bytesAt: number;
  readonly end: number;
}

/** `base`: where the sidecar begins in its file. */
export function layoutOf(header: SidecarHeader, base: number): SidecarLayout {
  const idsAt = base + SIDECAR_HEADER_BYTES;
  const streamsAt = idsAt + header.ids * ID_RECORD_BYTES;
  const namesAt = streamsAt + header.streams * STREAM_RECORD_BYTES;
  const indexAt = namesAt + header.nameBytes;
  const bytesAt = indexAt + header.indexed * INDEX_RECORD_BYTES;
  const end = bytesAt + (header.bytesCrc === 0 ? 0 : header.streams * BYTES_RECORD_BYTES);
  return { idsAt, streamsAt, namesAt, indexAt, bytesAt, end };
}

export function encodeHeader(header: SidecarHeader): Buffer {
  const bytes = Buffer.alloc(SIDECAR_HEADER_BYTES);
  bytes.writeUInt32LE(MAGIC, 0);
  bytes.writeUInt32LE(header.segment, 4);
  bytes.writeDoubleLE(header.lastCommit, 8);
  bytes.writeDoubleLE(header.firstAt, 16);
  bytes.writeDoubleLE(header.lastAt, 24);
  const words = [
    header.end / 8,
    header.indexed,
    header.ids,
    header.idSlack,
    header.streams,
    header.streamSlack,
    header.nameBytes,
    header.streamsCrc,
    header.bytesCrc,
  ];
  words.forEach((word, i) => {
    bytes.writeUInt32LE(word, 32 + 4 * i);
  });
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 124)), 124);
  return bytes;
}

/** Undefined when the bytes are no intact header of this segment's sidecar. */
export function decodeHeader(bytes: Buffer, segment: number): SidecarHeader | undefined {
  if (bytes.length < SIDECAR_HEADER_BYTES || bytes.readUInt32LE(0) !== MAGIC) return undefined;
  if (bytes.readUInt32LE(4) !== segment || bytes.readUInt32LE(124) !== crc32(bytes.subarray(0, 124))) return undefined;
  const word = (i: number): number => bytes.readUInt32LE(32 + 4 * i);
  return {
    segment,
    lastCommit: bytes.readDoubleLE(8),
    firstAt: bytes.readDoubleLE(16),
    lastAt: bytes.readDoubleLE(24),
    end: word(0) * 8,
    indexed: word(1),
    ids: word(2),
    idSlack: word(3),
    streams: word(4),
    streamSlack: word(5),
    nameBytes: word(6),
    streamsCrc: word(7),
    bytesCrc: word(8),
  };
}

/** Of a section that may be missing: never 0 where there is one. */
export function checksumOf(section: Buffer): number {
  return section.length === 0 ? 0 : crc32(section) || 1;
}

/** Indexes in order of `keys`: a radix sort, 16 bits at a time. */
export function orderByKey(keys: Uint32Array): Uint32Array {
  let from = Uint32Array.from(keys, (_, i) => i);
  let to = new Uint32Array(keys.length);
  for (const shift of [0, 16]) {
    const starts = new Uint32Array(65537);
    for (const key of keys) (starts[((key >>> shift) & 0xffff) + 1] as number)++;
    for (let i = 1; i < starts.length; i++) (starts[i] as number) += starts[i - 1] as number;
    for (const i of from) {
      const bucket = ((keys[i] as number) >>> shift) & 0xffff;
      to[starts[bucket] as number] = i;
      (starts[bucket] as number)++;
    }
    [from, to] = [to, from];
  }
  return from;
}

/** How far from the place that its key suggests a sorted record lies, at most. */
export function slackOf(sorted: (i: number) => number, count: number): number {
  let slack = 0;
  for (let i = 0; i < count; i++) slack = Math.max(slack, Math.abs(guessPlace(sorted(i), count) - i));
  return slack;
}

/** Where a record with this 32-bit key ought to lie among `count` sorted by a uniform key. */
export function guessPlace(key: number, count: number): number {
  return Math.floor((key / 0x1_0000_0000) * count);
}
