/**
 * A Bloom filter in two blocks of 512 bits, one cache line each: four bits of an id lie in the first
 * block, six in the second. Most absent ids are told by the first line alone, and the two blocks even
 * out each other's load, so that at 16 bits per id fewer than one probe in a thousand is wrong. The
 * words may be shared memory: bits are only ever set.
 */
export const FILTER_BITS_PER_ID = 16;
const WORDS_PER_BLOCK = 16;

/** Bytes of a filter for so many ids, a power of two. */
export function filterBytes(ids: number): number {
  let bytes = 4 * WORDS_PER_BLOCK;
  while (bytes * 8 < ids * FILTER_BITS_PER_ID) bytes *= 2;
  return bytes;
}

export function filterAdd(words: Int32Array, hi: number, lo: number): void {
  const mask = words.length / WORDS_PER_BLOCK - 1;
  const first = (hi & mask) * WORDS_PER_BLOCK;
  const x = mix(lo, 0x9e3779b1);
  const y = mix(lo ^ hi, 0x85ebca6b);
  set(words, first, x >>> 23);
  set(words, first, x >>> 14);
  set(words, first, x >>> 5);
  set(words, first, y >>> 23);
  const z = mix(hi, 0xc2b2ae35);
  const second = (z & mask) * WORDS_PER_BLOCK;
  const w = mix(z ^ x, 0x27d4eb2f);
  const v = mix(w ^ y, 0x165667b1);
  set(words, second, y >>> 14);
  set(words, second, y >>> 5);
  set(words, second, w >>> 23);
  set(words, second, w >>> 14);
  set(words, second, w >>> 5);
  set(words, second, v >>> 23);
}

/** False: surely absent. */
export function filterHas(words: Int32Array, hi: number, lo: number): boolean {
  const mask = words.length / WORDS_PER_BLOCK - 1;
  const first = (hi & mask) * WORDS_PER_BLOCK;
  const x = mix(lo, 0x9e3779b1);
  if (!has(words, first, x >>> 23) || !has(words, first, x >>> 14) || !has(words, first, x >>> 5)) return false;
  const y = mix(lo ^ hi, 0x85ebca6b);
  if (!has(words, first, y >>> 23)) return false;
  const z = mix(hi, 0xc2b2ae35);
  const second = (z & mask) * WORDS_PER_BLOCK;
  if (!has(words, second, y >>> 14) || !has(words, second, y >>> 5)) return false;
  const w = mix(z ^ x, 0x27d4eb2f);
  if (!has(words, second, w >>> 23) || !has(words, second, w >>> 14) || !has(words, second, w >>> 5)) return false;
  return has(words, second, mix(w ^ y, 0x165667b1) >>> 23);
}

function mix(value: number, factor: number): number {
  const product = Math.imul(value, factor);
  return Math.imul(product ^ (product >>> 15), 0x2c1b3c6d);
}

/** The low nine bits of `at` choose the bit. */
function set(words: Int32Array, block: number, at: number): void {
  (words[block + ((at >>> 5) & 15)] as number) |= 1 << at;
}

function has(words: Int32Array, block: number, at: number): boolean {
  return ((words[block + ((at >>> 5) & 15)] as number) & (1 << at)) !== 0;
}
