import { crc32 } from "node:zlib";
import { cutPayload, stampReceivedAt, withoutPayload } from "../../core/canonical/codec.ts";

/**
 * A segment file: a header of 64 bytes, then blocks, then zeros up to its fixed size. One block is one
 * commit: 48 bytes of header, then frames. All little-endian, all 8-aligned.
 *
 *     block   magic u32 · length u32 · crc32 of the rest u32 · frames u32 · received_at f64 · commit f64
 *             · segment u32 · offset/8 u32 · 0 u32 ×2
 *     frame   length u32 · body length u32 · partition u32 · lengths of tenant, event id, key u8 ×3 · 0 u8
 *             · tenant, event id, key · pad · received_at f64 · sequence f64 · crc32 of the body u32 · erased at, in seconds, or 0 u32 · body · pad
 *
 * The magic is random for each log: no client can write a body that looks like a block.
 */
export const SEGMENT_HEADER_BYTES = 64;
export const BLOCK_HEADER_BYTES = 48;
const FRAME_HEADER_BYTES = 16;
/** received_at, sequence and checksum stand right before the body: a reader who knows the body's place gets all it needs. */
export const BODY_PREFIX_BYTES = 24;
const SEGMENT_MAGIC = Buffer.from("PGLOG\0\0\u0001", "latin1");

export function encodeSegmentHeader(segment: number, magic: number): Buffer {
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
  SEGMENT_MAGIC.copy(bytes);
  bytes.writeUInt32LE(segment, 8);
  bytes.writeUInt32LE(magic, 12);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 16)), 16);
  return bytes;
}

export function isSegmentHeader(bytes: Buffer, segment: number, magic: number): boolean {
  return bytes.equals(encodeSegmentHeader(segment, magic));
}

const align8 = (n: number): number => (n + 7) & ~7;

export interface FrameLengths {
  readonly tenant: number;
  readonly eventId: number;
  readonly key: number;
  readonly body: number;
}

export function frameBytes(lengths: FrameLengths): number {
  return (
    align8(FRAME_HEADER_BYTES + lengths.tenant + lengths.eventId + lengths.key) +
    BODY_PREFIX_BYTES +
    align8(lengths.body)
  );
}

export interface FrameInput {
  readonly tenantId: string;
  readonly partition: number;
  readonly sequence: number;
  readonly eventId: string;
  readonly idempotencyKey: string | undefined;
  /** Is stamped with the time of acceptance. */
  readonly body: Buffer;
}

export interface BlockPlace {
  readonly magic: number;
  readonly segment: number;
  /** Where the block starts in the segment. */
  readonly offset: number;
  readonly commit: number;
  readonly receivedAt: number;
}

/** Builds one block at a time in a buffer of its own, which grows to the largest block. */
export class BlockWriter {
  private buffer: Buffer = Buffer.from(new ArrayBuffer(1 << 20));
  private u32 = new Uint32Array(this.buffer.buffer);
  private f64 = new Float64Array(this.buffer.buffer);
  private length = BLOCK_HEADER_BYTES;
  private frames = 0;
  private receivedAt = 0;
  private tenantId = "";
  /** Where the block has it; 0 when it has none yet. */
  private tenantAt = 0;

  begin(bytes: number, receivedAt: number): void {
    if (bytes > this.buffer.length) {
      this.buffer = Buffer.from(new ArrayBuffer(2 ** Math.ceil(Math.log2(bytes))));
      this.u32 = new Uint32Array(this.buffer.buffer);
      this.f64 = new Float64Array(this.buffer.buffer);
    }
    this.length = BLOCK_HEADER_BYTES;
    this.frames = 0;
    this.tenantAt = 0;
    this.receivedAt = receivedAt;
  }

  /** Where the next frame will start, relative to the block. */
  get end(): number {
    return this.length;
  }

  /** Adds a frame, stamps its time of acceptance; returns where its body starts, relative to the block. */
  add(frame: FrameInput): number {
    const at = this.length;
    const { tenantId, eventId, idempotencyKey = "", body } = frame;
    const namesAt = at + FRAME_HEADER_BYTES;
    const names = tenantId.length + eventId.length + idempotencyKey.length;
    const prefixAt = at + align8(FRAME_HEADER_BYTES + names);
    const bodyAt = prefixAt + BODY_PREFIX_BYTES;
    const end = bodyAt + align8(body.length);
    const { buffer, u32, f64 } = this;
    u32[at >> 2] = end - at;
    u32[(at >> 2) + 1] = body.length;
    u32[(at >> 2) + 2] = frame.partition;
    u32[(at >> 2) + 3] = tenantId.length | (eventId.length << 8) | (idempotencyKey.length << 16);
    f64[(prefixAt >> 3) - 1] = 0;
    this.writeTenant(tenantId, namesAt);
    const idAt = namesAt + tenantId.length;
    buffer.write(eventId, idAt, eventId.length, "latin1");
    if (idempotencyKey !== "") buffer.write(idempotencyKey, idAt + eventId.length, idempotencyKey.length, "latin1");
    f64[prefixAt >> 3] = this.receivedAt;
    f64[(prefixAt >> 3) + 1] = frame.sequence;
    f64[(end >> 3) - 1] = 0;
    stampReceivedAt(body, this.receivedAt);
    buffer.set(body, bodyAt);
    u32[(bodyAt >> 2) - 2] = crc32(body);
    u32[(bodyAt >> 2) - 1] = 0;
    this.length = end;
    this.frames++;
    return bodyAt;
  }

  /** Neighbours mostly are of one tenant: copying the name from the frame before costs a fraction of writing it. */
  private writeTenant(tenantId: string, at: number): void {
    const { buffer, tenantAt } = this;
    if (tenantAt !== 0 && tenantId === this.tenantId) buffer.copyWithin(at, tenantAt, tenantAt + tenantId.length);
    else buffer.write(tenantId, at, tenantId.length, "latin1");
    this.tenantId = tenantId;
    this.tenantAt = at;
  }

  /** The finished block; valid until the next `begin`. */
  finish(place: BlockPlace): Buffer {
    const { u32, f64, length } = this;
    u32[0] = place.magic;
    u32[1] = length;
    u32[3] = this.frames;
    f64[2] = this.receivedAt;
    f64[3] = place.commit;
    u32[8] = place.segment;
    u32[9] = place.offset >>> 3;
    u32[10] = 0;
    u32[11] = 0;
    u32[2] = crc32(this.buffer.subarray(12, length));
    return this.buffer.subarray(0, length);
  }
}

export interface BlockHeader {
  readonly length: number;
  readonly frames: number;
  readonly receivedAt: number;
  readonly commit: number;
}

/** What the bytes at `at` say of themselves: a header that belongs to this very place, or undefined. */
export function blockHeaderAt(
  bytes: Buffer,
  at: number,
  place: { magic: number; segment: number; offset: number },
): BlockHeader | undefined {
  if (bytes.length < at + BLOCK_HEADER_BYTES || bytes.readUInt32LE(at) !== place.magic) return undefined;
  if (bytes.readUInt32LE(at + 32) !== place.segment || bytes.readUInt32LE(at + 36) * 8 !== place.offset)
    return undefined;
  const length = bytes.readUInt32LE(at + 4);
  if (length < BLOCK_HEADER_BYTES || length % 8 !== 0) return undefined;
  return {
    length,
    frames: bytes.readUInt32LE(at + 12),
    receivedAt: bytes.readDoubleLE(at + 16),
    commit: bytes.readDoubleLE(at + 24),
  };
}

export function isBlockIntact(bytes: Buffer, at: number, length: number): boolean {
  return bytes.readUInt32LE(at + 8) === crc32(bytes.subarray(at + 12, at + length));
}

/** What stands before a body, and whether the body is as it was written. */
export function bodyPrefixAt(
  bytes: Buffer,
  bodyAt: number,
): { readonly receivedAt: number; readonly sequence: number; readonly erasedAt: number | undefined } {
  return {
    erasedAt: erasedAt(bytes, bodyAt),
    receivedAt: bytes.readDoubleLE(bodyAt - BODY_PREFIX_BYTES),
    sequence: bytes.readDoubleLE(bodyAt - BODY_PREFIX_BYTES + 8),
  };
}

function erasedAt(bytes: Buffer, bodyAt: number): number | undefined {
  const seconds = bytes.readUInt32LE(bodyAt - 4);
  return seconds === 0 ? undefined : seconds * 1000;
}

/** Takes the payload out of a body, in place; the checksum of its block is to be made anew. */
export function eraseBody(bytes: Buffer, place: { bodyAt: number; length: number; at: number }): void {
  const { bodyAt, length, at } = place;
  const body = withoutPayload(bytes.subarray(bodyAt, bodyAt + length));
  bytes.set(body, bodyAt);
  bytes.writeUInt32LE(crc32(body), bodyAt - 8);
  bytes.writeUInt32LE(Math.floor(at / 1000), bodyAt - 4);
}

/** Makes the checksum of a whole block anew, in place. */
export function sealBlock(block: Buffer): void {
  block.writeUInt32LE(crc32(block.subarray(12)), 8);
}

export function isBodyIntact(bytes: Buffer, bodyAt: number, length: number): boolean {
  return bytes.readUInt32LE(bodyAt - 8) === crc32(bytes.subarray(bodyAt, bodyAt + length));
}

/** A frame as it is, but for its payload, which is gone, and the room that it took. It counts as erased, from `at` on if it was not before. */
export function frameWithoutPayload(frame: FrameView, at: number): Buffer {
  const { bytes, bodyAt, bodyLength, erasedSecond } = frame;
  const body = cutPayload(bytes.subarray(bodyAt, bodyAt + bodyLength));
  const head = bodyAt - frame.at;
  const cut = Buffer.alloc(head + align8(body.length));
  bytes.copy(cut, 0, frame.at, bodyAt);
  body.copy(cut, head);
  cut.writeUInt32LE(cut.length, 0);
  cut.writeUInt32LE(body.length, 4);
  cut.writeUInt32LE(crc32(body), head - 8);
  cut.writeUInt32LE(erasedSecond === 0 ? Math.floor(at / 1000) : erasedSecond, head - 4);
  return cut;
}

/** A block of whole frames. */
export function encodeBlock(frames: readonly Buffer[], place: BlockPlace): Buffer {
  const block = Buffer.concat([Buffer.alloc(BLOCK_HEADER_BYTES), ...frames]);
  block.writeUInt32LE(place.magic, 0);
  block.writeUInt32LE(block.length, 4);
  block.writeUInt32LE(frames.length, 12);
  block.writeDoubleLE(place.receivedAt, 16);
  block.writeDoubleLE(place.commit, 24);
  block.writeUInt32LE(place.segment, 32);
  block.writeUInt32LE(place.offset >>> 3, 36);
  sealBlock(block);
  return block;
}

/** A frame in a buffer; positions are indexes into the buffer, names are decoded when asked for. */
export class FrameView {
  bytes: Buffer = Buffer.alloc(0);
  at = 0;
  length = 0;
  bodyLength = 0;
  partition = 0;
  private lengths = 0;
  private tenant = "";

  /** Reads the head of the frame that starts at `at`. */
  move(bytes: Buffer, at: number): this {
    this.bytes = bytes;
    this.at = at;
    this.length = bytes.readUInt32LE(at);
    this.bodyLength = bytes.readUInt32LE(at + 4);
    this.partition = bytes.readUInt32LE(at + 8);
    this.lengths = bytes.readUInt32LE(at + 12);
    return this;
  }

  /** Neighbours mostly are of one tenant: the last name is kept, so that no string is made for each. */
  get tenantId(): string {
    const { bytes, namesAt: from, tenantLength: length } = this;
    if (this.tenant.length !== length || !standsAt(bytes, from, this.tenant))
      this.tenant = bytes.toString("latin1", from, from + length);
    return this.tenant;
  }

  get eventId(): string {
    const from = this.namesAt + this.tenantLength;
    return this.bytes.toString("latin1", from, from + this.eventIdLength);
  }

  get idempotencyKey(): string | undefined {
    if (this.keyLength === 0) return undefined;
    const from = this.namesAt + this.tenantLength + this.eventIdLength;
    return this.bytes.toString("latin1", from, from + this.keyLength);
  }

  get bodyAt(): number {
    return (
      this.at + align8(FRAME_HEADER_BYTES + this.tenantLength + this.eventIdLength + this.keyLength) + BODY_PREFIX_BYTES
    );
  }

  get receivedAt(): number {
    return this.bytes.readDoubleLE(this.bodyAt - BODY_PREFIX_BYTES);
  }

  get sequence(): number {
    return this.bytes.readDoubleLE(this.bodyAt - BODY_PREFIX_BYTES + 8);
  }

  get isErased(): boolean {
    return this.erasedSecond !== 0;
  }

  /** When it was erased, in seconds since the epoch; 0 when it was not. */
  get erasedSecond(): number {
    return this.bytes.readUInt32LE(this.bodyAt - 4);
  }

  /** The frame in a buffer of its own. */
  copy(): Buffer {
    return Buffer.from(this.bytes.subarray(this.at, this.at + this.length));
  }

  private get namesAt(): number {
    return this.at + FRAME_HEADER_BYTES;
  }

  private get tenantLength(): number {
    return this.lengths & 0xff;
  }

  private get eventIdLength(): number {
    return (this.lengths >>> 8) & 0xff;
  }

  private get keyLength(): number {
    return (this.lengths >>> 16) & 0xff;
  }
}

function standsAt(bytes: Buffer, from: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) if (bytes[from + i] !== text.charCodeAt(i)) return false;
  return true;
}
