import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";

/** Field of an entry that holds the canonical bytes as they are, or compressed. */
const PLAIN = "e";
const ZSTD = "z";

const FASTEST = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

/** Events of so many bytes are compressed where that is asked for: below, it saves little. */
const COMPRESS_BYTES_MIN = 4_096;

/** Compressed only where that makes them smaller. */
export function pack(bytes: Buffer, compression: "none" | "zstd"): { readonly field: string; readonly value: Buffer } {
  if (compression === "none" || bytes.length < COMPRESS_BYTES_MIN) return { field: PLAIN, value: bytes };
  const value = zstdCompressSync(bytes, FASTEST);
  return value.length < bytes.length ? { field: ZSTD, value } : { field: PLAIN, value: bytes };
}

export function unpack(field: Buffer, value: Buffer): Buffer {
  return field[0] === ZSTD.charCodeAt(0) ? zstdDecompressSync(value) : value;
}
