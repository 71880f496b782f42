/**
 * What the appending thread tells the reading threads, in shared memory: how far the log is durable,
 * which segments have sidecars, which are still there. One notification per commit, no message.
 */
export class SharedProgress {
  readonly memory: SharedArrayBuffer;
  private readonly words: Int32Array;
  private readonly switches: Int32Array;
  private readonly place: BigInt64Array;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(32)) {
    this.memory = memory;
    this.words = new Int32Array(memory, 0, 4);
    this.place = new BigInt64Array(memory, 16, 1);
    this.switches = new Int32Array(memory, 24, 1);
  }

  /** The durable end: both numbers change in one step. */
  publish(segment: number, offset: number): void {
    Atomics.store(this.place, 0, (BigInt(segment) << 32n) | BigInt(offset >>> 0));
    this.announce();
  }

  get end(): { readonly segment: number; readonly offset: number } {
    const place = Atomics.load(this.place, 0);
    return { segment: Number(place >> 32n), offset: Number(place & 0xffffffffn) };
  }

  /** All segments up to this one have sidecars; 0 when none has. */
  get sidecarThrough(): number {
    return Atomics.load(this.words, 1);
  }

  set sidecarThrough(segment: number) {
    Atomics.store(this.words, 1, segment);
  }

  /** The oldest segment that is still stored. */
  get firstSegment(): number {
    return Atomics.load(this.words, 2);
  }

  set firstSegment(segment: number) {
    Atomics.store(this.words, 2, segment);
  }

  /** Odd while payloads are being erased from segments; changes with each time. */
  get scrubs(): number {
    return Atomics.load(this.words, 3);
  }

  scrubbing(): void {
    Atomics.add(this.words, 3, 1);
  }

  /** Odd while the files of a segment are exchanged for compacted ones; changes with each time. */
  get compactions(): number {
    return Atomics.load(this.switches, 0);
  }

  switching(): void {
    Atomics.add(this.switches, 0, 1);
    Atomics.notify(this.switches, 0);
  }

  /** Resolves when no exchange is under way. */
  async switched(): Promise<void> {
    for (let seen = this.compactions; seen % 2 === 1; seen = this.compactions)
      await Atomics.waitAsync(this.switches, 0, seen).value;
  }

  /** Changes with every announcement. */
  get version(): number {
    return Atomics.load(this.words, 0);
  }

  announce(): void {
    Atomics.add(this.words, 0, 1);
    Atomics.notify(this.words, 0);
  }

  /** Resolves when the version is no longer `seen`. */
  async changed(seen: number): Promise<void> {
    await Atomics.waitAsync(this.words, 0, seen).value;
  }
}
