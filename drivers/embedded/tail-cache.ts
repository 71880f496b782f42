interface Piece {
  readonly segment: number;
  readonly from: number;
  readonly bytes: Buffer;
}

/** The newest bytes of the log as they were read for indexing, so that lanes at the tail need no further read. */
export class TailCache {
  private readonly bytesMax: number;
  private pieces: Piece[] = [];
  private head = 0;
  private bytes = 0;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  /** Takes the bytes over; pieces come in the order of the log. */
  add(segment: number, from: number, bytes: Buffer): void {
    this.pieces.push({ segment, from, bytes });
    this.bytes += bytes.length;
    while (this.bytes > this.bytesMax && this.head < this.pieces.length) {
      this.bytes -= (this.pieces[this.head++] as Piece).bytes.length;
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
      if (piece.segment < segment || (piece.segment === segment && piece.from + piece.bytes.length <= from))
        low = middle + 1;
      else high = middle;
    }
    const piece = this.pieces[low];
    if (piece === undefined || low >= this.pieces.length || piece.segment !== segment || piece.from > from)
      return undefined;
    const at = from - piece.from;
    if (at + length > piece.bytes.length) return undefined;
    const copy = Buffer.allocUnsafe(length);
    piece.bytes.copy(copy, 0, at, at + length);
    return copy;
  }
}
