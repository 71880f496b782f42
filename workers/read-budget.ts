/** One that reads ahead and may be told to go on. */
export interface Reader {
  resume(): void;
}

/**
 * Bytes that all lanes of a worker hold or are about to read, bounded: beyond the bound a lane reads
 * only what it needs to make any progress, until others have let go.
 */
export class ReadBudget {
  readonly #bytesMax: number;
  readonly #waiting = new Set<Reader>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get tight(): boolean {
    return this.#bytes >= this.#bytesMax;
  }

  /** Counts what is held or reserved; negative lets go of it. */
  change(bytes: number): void {
    this.#bytes += bytes;
    if (bytes < 0) this.#wake();
  }

  /** The reader is resumed once there is room. */
  wait(reader: Reader): void {
    this.#waiting.add(reader);
  }

  leave(reader: Reader): void {
    this.#waiting.delete(reader);
  }

  /** Each that goes on reserves what it reads, so that no more are woken than there is room for. */
  #wake(): void {
    for (const reader of this.#waiting) {
      if (this.tight) return;
      this.#waiting.delete(reader);
      reader.resume();
    }
  }
}
