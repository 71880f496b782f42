/**
 * HalfSipHash-1-3 with 64-bit output: keyed, so that no client can aim at collisions, and made of
 * 32-bit steps, which JavaScript engines run quickly. A text is read as Latin-1.
 */
export class KeyedHash {
  /** The last digest. */
  hi = 0;
  lo = 0;
  private readonly key0: number;
  private readonly key1: number;
  /** The text, in words of four characters; little-endian, as all of the log is. */
  private words = new Int32Array(1024 / 4);
  private bytes = Buffer.from(this.words.buffer);

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
    if (length > this.bytes.length - 4) this.grow(length);
    const { words } = this;
    // Taken over at one go and read as words: character by character costs more than all the rounds.
    this.bytes.write(text, 0, length, "latin1");
    const last = length >> 2;
    words[last] = ((words[last] as number) & ((1 << ((length & 3) << 3)) - 1)) | (length << 24);
    for (let i = 0; i <= last; i++) {
      const m = words[i] as number;
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

  private grow(length: number): void {
    this.words = new Int32Array(length);
    this.bytes = Buffer.from(this.words.buffer);
  }
}

export interface Midstate {
  readonly v0: number;
  readonly v1: number;
  readonly v2: number;
  readonly v3: number;
}
