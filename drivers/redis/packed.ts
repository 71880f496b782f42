/**
 * Lists, texts and numbers as MessagePack, of which a script makes a table in one call. Sent as arguments of their
 * own, thousands of short texts cost the client and the server more than all that is done with them.
 */
export class Packed {
  private buffer: Buffer;
  private at = 0;

  /** `texts`: about how many there will be. */
  constructor(texts: number) {
    this.buffer = Buffer.allocUnsafe(64 + 160 * texts);
  }

  get bytes(): Buffer {
    return this.buffer.subarray(0, this.at);
  }

  /** So many things follow, at most 65,535. */
  list(length: number): void {
    this.reserve(3);
    this.head(0xdc, length);
  }

  /** At most 65,535. */
  number(value: number): void {
    this.reserve(3);
    this.head(0xcd, value);
  }

  text(text: string): void {
    this.reserve(3 + 3 * text.length);
    const length = this.buffer.write(text, this.at + 3);
    this.head(0xda, length);
    this.at += length;
  }

  /** As one text. */
  bytesAndText(bytes: Buffer, text: string): void {
    this.reserve(3 + bytes.length + 3 * text.length);
    this.buffer.set(bytes, this.at + 3);
    const length = bytes.length + this.buffer.write(text, this.at + 3 + bytes.length);
    this.head(0xda, length);
    this.at += length;
  }

  private head(type: number, value: number): void {
    this.buffer[this.at] = type;
    this.buffer[this.at + 1] = value >>> 8;
    this.buffer[this.at + 2] = value & 0xff;
    this.at += 3;
  }

  private reserve(bytes: number): void {
    if (this.at + bytes <= this.buffer.length) return;
    const larger = Buffer.allocUnsafe(2 * (this.at + bytes));
    this.buffer.copy(larger, 0, 0, this.at);
    this.buffer = larger;
  }
}
