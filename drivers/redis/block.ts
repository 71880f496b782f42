import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";

/*
 * What one commit adds to a stream is one entry of Redis's stream, whose field `b` holds a block:
 *
 *     events: u32 | of each event: bytes: u31, above it 1 where they are compressed | the events' bytes
 *
 * All numbers are big-endian. A script that leaves repeats out makes a block of the rest (lua-append.ts).
 */

/** Field of an entry that holds a block. */
export const BLOCK_FIELD = "b";

const NUMBER_BYTES = 4;
const COMPRESSED = 0x80000000;
const FASTEST = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

/** Events of so many bytes are compressed where that is asked for: below, it saves little. */
const COMPRESS_BYTES_MIN = 4_096;

/** Canonical bytes of events, in order. */
export function packBlock(events: readonly Buffer[], compression: "none" | "zstd"): Buffer {
  const stored = compression === "none" ? events : events.map(compressed);
  const headBytes = NUMBER_BYTES * (1 + events.length);
  const block = Buffer.allocUnsafe(stored.reduce((sum, bytes) => sum + bytes.length, headBytes));
  block.writeUInt32BE(events.length, 0);
  let at = headBytes;
  for (let i = 0; i < stored.length; i++) {
    const bytes = stored[i] as Buffer;
    const mark = bytes === events[i] ? 0 : COMPRESSED;
    block.writeUInt32BE(mark + bytes.length, NUMBER_BYTES * (1 + i));
    block.set(bytes, at);
    at += bytes.length;
  }
  return block;
}

/** Only where that makes them smaller. */
function compressed(bytes: Buffer): Buffer {
  if (bytes.length < COMPRESS_BYTES_MIN) return bytes;
  const smaller = zstdCompressSync(bytes, FASTEST);
  return smaller.length < bytes.length ? smaller : bytes;
}

/** The events' bytes, which share the block's memory where they are not compressed. */
export function unpackBlock(block: Buffer): Buffer[] {
  const count = block.readUInt32BE(0);
  const events: Buffer[] = new Array(count);
  let at = NUMBER_BYTES * (1 + count);
  for (let i = 0; i < count; i++) {
    const number = block.readUInt32BE(NUMBER_BYTES * (1 + i));
    const isCompressed = number >= COMPRESSED;
    const end = at + (isCompressed ? number - COMPRESSED : number);
    const bytes = block.subarray(at, end);
    events[i] = isCompressed ? zstdDecompressSync(bytes) : bytes;
    at = end;
  }
  return events;
}
