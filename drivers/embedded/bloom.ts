/**
 * A split-block Bloom filter (Putze, Sanders, Singler 2007; as in Apache Parquet): one block of 256
 * bits per id, one bit in each of its eight words, so a probe touches one cache line. At 16 bits per
 * id about one probe in a thousand is wrong. The words may be shared memory: bits are only ever set.
 */
export const FILTER_BITS_PER_ID = 16;
const WORDS_PER_BLOCK = 8;
const SALTS = Int32Array.of(
  0x47b6137b,
  0x44974d91,
  0x8824ad5b | 0,
  0xa2b7289d | 0,
  0x705495c7,
  0x2df1424b,
  0x9efc4947 | 0,
  0x5c6bfb31,
);

/** Bytes of a filter for so many ids, a power of two. */
export function filterBytes(ids: number): number {
  let bytes = 4 * WORDS_PER_BLOCK;
  while (bytes * 8 < ids * FILTER_BITS_PER_ID) bytes *= 2;
  return bytes;
}

export function filterAdd(words: Int32Array, hi: number, lo: number): void {
  const block = blockOf(words, hi);
  for (let i = 0; i < WORDS_PER_BLOCK; i++) {
    (words[block + i] as number) |= 1 << (Math.imul(lo, SALTS[i] as number) >>> 27);
  }
}

/** False: surely absent. */
export function filterHas(words: Int32Array, hi: number, lo: number): boolean {
  const block = blockOf(words, hi);
  for (let i = 0; i < WORDS_PER_BLOCK; i++) {
    if (((words[block + i] as number) & (1 << (Math.imul(lo, SALTS[i] as number) >>> 27))) === 0) return false;
  }
  return true;
}

function blockOf(words: Int32Array, hi: number): number {
  return (hi & (words.length / WORDS_PER_BLOCK - 1)) * WORDS_PER_BLOCK;
}
