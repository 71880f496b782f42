interface Piece {
  readonly segment: number;
  readonly from: number;
  /** Where it lies in the ring. */
  readonly at: number;
  readonly length: number;
}

/**
 * The newest bytes of the log as they were read for indexing, so that lanes at the tail need no further
 * read. They lie in one ring that is used for ever: a buffer for each read would be new memory from the
 * system each time, and its pages cost more than the read.
 */
export class TailCache {
  private readonly ring: Buffer;
  private end = 0;
  private pieces: Piece[] = [];
  private head = 0;

  constructor(bytesMax: number) {
    this.ring = Buffer.allocUnsafeSlow(bytesMax);
  }

  /** Room to read into, valid until the next call; what lay there is forgotten. Undefined when there can't be so much. */
  room(length: number): Buffer | undefined {
    if (length > this.ring.length) return undefined;
    if (this.end + length > this.ring.length) {
      this.forget(this.end, this.ring.length);
      this.end = 0;
    }
    this.forget(this.end, this.end + length);
    return this.ring.subarray(this.end, this.end + length);
  }

  /** The first `length` bytes of the room given last are the log's; pieces come in its order. */
  keep(segment: number, from: number, length: number): void {
    this.pieces.push({ segment, from, at: this.end, length });
    this.end += length;
  }

  /** Forgets everything, and what it was. */
  clear(): void {
    this.pieces = [];
    this.head = 0;
    this.ring.fill(0);
  }

  /** Lets go of the oldest pieces, as far as they begin within these bounds. */
  private forget(from: number, to: number): void {
    for (; this.head < this.pieces.length; this.head++) {
      const { at } = this.pieces[this.head] as Piece;
      if (at < from || at >= to) break;
    }
    if (this.head > 1024 && this.head * 2 > this.pieces.length) {
      this.pieces = this.pieces.slice(this.head);
      this.head = 0;
    }
  }

  /** A copy, so that an event that is kept does not keep its neighbours. */
  copy(segment: number, from: number, length: number): Buffer | undefined {
    let low = this.head;
    let high = this.pieces.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const piece = this.pieces[middle] as Piece;
      if (piece.segment < segment || (piece.segment === segment && piece.from + piece.length <= from)) low = middle + 1;
      else high = middle;
    }
    const piece = this.pieces[low];
    if (piece === undefined || piece.segment !== segment || piece.from > from) return undefined;
    const skip = from - piece.from;
    if (skip + length > piece.length) return undefined;
    const copy = Buffer.allocUnsafe(length);
    this.ring.copy(copy, 0, piece.at + skip, piece.at + skip + length);
    return copy;
  }
}
