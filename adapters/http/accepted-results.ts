import { ackMembers, type Stored } from "./ack.ts";

/**
 * The results of a batch whose events are all stored, joined by commas; ASCII only. Most items differ from the one
 * before in three places, so they are copies of it with these written anew: a text made of each item's parts
 * costs three times as much, and that much more garbage.
 */
export function acceptedResults(results: readonly Stored[]): string {
  const writer = new ResultsWriter(results.length);
  for (const [index, result] of results.entries()) writer.add(index, result);
  return writer.text();
}

const BEFORE_INDEX = ',{"index":';
const BEFORE_ID = ',"status":202,"event_id":"';
const BEFORE_POSITION = '","position":"';
const NEEDS_ESCAPE = /["\\]/;
const ITEM_BYTES = 192;

class ResultsWriter {
  private bytes: Buffer;
  private end = 0;
  /** Where the last item starts, if the next may be copied from it. */
  private itemAt = 0;
  private item: Stored | undefined;
  private index = 0;

  constructor(items: number) {
    this.bytes = Buffer.allocUnsafe(items * ITEM_BYTES);
  }

  add(index: number, result: Stored): void {
    if (this.item !== undefined && this.isLike(this.item, index, result)) this.copy(index, result);
    else this.write(index, result);
  }

  text(): string {
    // Every item begins with a comma; the first one's is none.
    return this.bytes.toString("latin1", 1, this.end);
  }

  /** Whether the result's item is as long as the last one's, and differs in index, id and sequence alone. */
  private isLike(item: Stored, index: number, result: Stored): boolean {
    return (
      result.type === "accepted" &&
      result.stream === item.stream &&
      result.receivedAt === item.receivedAt &&
      result.durability === item.durability &&
      result.eventId.length === item.eventId.length &&
      hasAsManyDigits(index, this.index) &&
      hasAsManyDigits(result.sequence, item.sequence) &&
      !NEEDS_ESCAPE.test(result.eventId)
    );
  }

  private copy(index: number, result: Stored): void {
    const { itemAt, end: at } = this;
    const length = at - itemAt;
    this.reserve(length);
    const { bytes } = this;
    bytes.copyWithin(at, itemAt, at);
    const idAt = writeDigits(bytes, at + BEFORE_INDEX.length, index) + BEFORE_ID.length;
    bytes.write(result.eventId, idAt, result.eventId.length, "latin1");
    const { tenantId, partition } = result.stream;
    const streamAt = idAt + result.eventId.length + BEFORE_POSITION.length;
    const sequenceAt = streamAt + tenantId.length + 1 + digitsOf(partition) + 1;
    writeDigits(bytes, sequenceAt, result.sequence);
    this.keep(at, index, result);
    this.end = at + length;
  }

  private write(index: number, result: Stored): void {
    const text = `${BEFORE_INDEX}${index},"status":202,${ackMembers(result)}}`;
    this.reserve(text.length);
    const at = this.end;
    this.end += this.bytes.write(text, at, "latin1");
    this.item = undefined;
    if (result.type === "accepted" && !NEEDS_ESCAPE.test(result.eventId)) this.keep(at, index, result);
  }

  private keep(at: number, index: number, result: Stored): void {
    this.itemAt = at;
    this.index = index;
    this.item = result;
  }

  private reserve(more: number): void {
    if (this.end + more <= this.bytes.length) return;
    const larger = Buffer.allocUnsafe((this.end + more) * 2);
    this.bytes.copy(larger, 0, 0, this.end);
    this.bytes = larger;
  }
}

/** Both are whole and not negative. */
function hasAsManyDigits(a: number, b: number): boolean {
  return a >= b ? a < 10 ** digitsOf(b) : digitsOf(a) === digitsOf(b);
}

function digitsOf(n: number): number {
  let digits = 1;
  for (let limit = 10; n >= limit; limit *= 10) digits++;
  return digits;
}

/** Returns the offset behind them. */
function writeDigits(bytes: Buffer, at: number, n: number): number {
  const end = at + digitsOf(n);
  let rest = n;
  for (let i = end - 1; i >= at; i--) {
    const next = Math.floor(rest / 10);
    bytes[i] = ZERO + rest - next * 10;
    rest = next;
  }
  return end;
}

const ZERO = 0x30;
