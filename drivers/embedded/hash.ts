/**
 * HalfSipHash-1-3 with 64-bit output: keyed, so that no client can aim at collisions, and made of
 * 32-bit steps that JavaScript engines run at about 2 ns per character. A text is read as Latin-1.
 */
export class KeyedHash {
  /** The last digest. */
  hi = 0;
  lo = 0;
  private readonly key0: number;
  private readonly key1: number;

  constructor(key: { readonly key0: number; readonly key1: number }) {
    this.key0 = key.key0 | 0;
    this.key1 = key.key1 | 0;
  }

  /** The state after a prefix that many texts share: a tenant and what kind of name follows. */
  prefix(text: string): Midstate {
    const start: Midstate = {
      v0: this.key0,
      v1: this.key1 ^ 0xee,
      v2: 0x6c796765 ^ this.key0,
      v3: 0x74656462 ^ this.key1,
    };
    // The digest of the prefix, folded in as a block of its own, keeps "ab"+"c" and "a"+"bc" apart.
    this.digest(start, text);
    return { v0: start.v0 ^ this.hi, v1: start.v1, v2: start.v2 ^ this.lo, v3: start.v3 };
  }

  /** Sets `hi` and `lo`, both unsigned. */
  digest(from: Midstate, text: string): void {
    let { v0, v1, v2, v3 } = from;
    const length = text.length;
    const whole = length & ~3;
    for (let i = 0; i <= whole; i += 4) {
      const m = i < whole ? wordAt(text, i) : lastWord(text, i);
      v3 ^= m;
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
      v0 ^= m;
    }
    v2 ^= 0xee;
    for (let round = 0; round < 6; round++) {
      if (round === 3) {
        this.lo = (v1 ^ v3) >>> 0;
        v1 ^= 0xdd;
      }
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
    }
    this.hi = (v1 ^ v3) >>> 0;
  }
}

export interface Midstate {
  readonly v0: number;
  readonly v1: number;
  readonly v2: number;
  readonly v3: number;
}

function wordAt(text: string, i: number): number {
  return (
    text.charCodeAt(i) | (text.charCodeAt(i + 1) << 8) | (text.charCodeAt(i + 2) << 16) | (text.charCodeAt(i + 3) << 24)
  );
}

function lastWord(text: string, from: number): number {
  let word = text.length << 24;
  for (let i = from, shift = 0; i < text.length; i++, shift += 8) word |= text.charCodeAt(i) << shift;
  return word;
}
