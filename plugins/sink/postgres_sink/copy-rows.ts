import type { CanonicalEvent } from "../../../core/canonical/event.ts";
import { payloadJson } from "../../contract.ts";
import type { PayloadType } from "./table.ts";

/** Signature, flags, length of the extension: what COPY's binary format begins with. */
const SIGNATURE = Buffer.concat([Buffer.from("PGCOPY\n\xff\r\n\0", "latin1"), Buffer.alloc(8)]);
const MESSAGE_HEAD_BYTES = 5;
const COPY_DATA = 0x64;
const COPY_DONE = 0x63;
const FIELDS = 9;
/** Of a row: the number of fields, their lengths, two times, the version of jsonb. */
const ROW_BYTES = 2 + FIELDS * 4 + 2 * 8 + 1;
/** What a UTF-16 unit takes at most. */
const UTF8_MAX = 3;
const JSONB_VERSION = 1;
const FIRST_BYTES = 64 * 1024;
const UNIX_MS_OF_2000 = Date.UTC(2000, 0, 1);
const TWO_32 = 2 ** 32;
/** Times that PostgreSQL and JavaScript read alike, of years whose microseconds a double holds; all others are the server's to read. */
const PLAIN_TIME = /^(?!0000)[0-3]\d{3}-\d\d-(\d\d)T\d\d:\d\d:\d\d(?:\.\d{1,3})?(?:Z|[+-](?:0\d|1[0-5]):[0-5]\d)$/;

/** The columns in the order of the rows. */
export const COPY_COLUMNS = [
  "tenant_id",
  "event_id",
  "event_type",
  "source",
  "trace_id",
  "idempotency_key",
  "occurred_at",
  "received_at",
  "payload",
] as const;

/**
 * Rows as COPY's binary format has them, in one buffer that is used again: a batch's bytes are copied
 * once, and no memory comes new from the system for each. One batch at a time.
 */
export class CopyRows {
  #bytes: Buffer = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #at = 0;
  #timeText = "";
  #timeHigh = 0;
  #timeLow = 0;

  /** Bytes that it holds on to. */
  get size(): number {
    return this.#bytes.length;
  }

  /**
   * The messages CopyData and CopyDone of a batch; valid until the next call. Undefined when a time is
   * of a form that only the server can read.
   */
  write(events: readonly CanonicalEvent[], payloadType: PayloadType): Buffer | undefined {
    this.#at = MESSAGE_HEAD_BYTES;
    this.#at += SIGNATURE.copy(this.#bytes, this.#at);
    for (const event of events) if (!this.#row(event, payloadType)) return undefined;
    this.#reserve(2 + MESSAGE_HEAD_BYTES);
    const end = this.#bytes.writeInt16BE(-1, this.#at);
    this.#bytes[0] = COPY_DATA;
    this.#bytes.writeInt32BE(end - 1, 1);
    this.#bytes[end] = COPY_DONE;
    return this.#bytes.subarray(0, this.#bytes.writeInt32BE(4, end + 1));
  }

  #row(event: CanonicalEvent, payloadType: PayloadType): boolean {
    const { tenant_id, event_id, event_type, source, trace_id, idempotency_key } = event;
    const payload = payloadJson(event);
    const chars =
      tenant_id.length +
      event_id.length +
      event_type.length +
      source.length +
      (trace_id?.length ?? 0) +
      (idempotency_key?.length ?? 0);
    this.#reserve(ROW_BYTES + chars * UTF8_MAX + payload.length);
    this.#int16(FIELDS);
    this.#text(tenant_id);
    this.#text(event_id);
    this.#text(event_type);
    this.#text(source);
    this.#text(trace_id);
    this.#text(idempotency_key);
    if (!this.#time(event.occurred_at) || !this.#time(event.received_at)) return false;
    this.#payload(payload, payloadType);
    return true;
  }

  #payload(payload: Buffer, type: PayloadType): void {
    const isVersioned = type === "jsonb";
    this.#int32(payload.length + (isVersioned ? 1 : 0));
    if (isVersioned) this.#bytes[this.#at++] = JSONB_VERSION;
    this.#at += payload.copy(this.#bytes, this.#at);
  }

  #text(value: string | undefined): void {
    if (value === undefined) return this.#int32(-1);
    const written = this.#bytes.write(value, this.#at + 4);
    this.#int32(written);
    this.#at += written;
  }

  /** Microseconds since 2000; most times are those of the event before. */
  #time(text: string): boolean {
    if (text !== this.#timeText) {
      const ms = plainTime(text);
      if (ms === undefined) return false;
      const micros = (ms - UNIX_MS_OF_2000) * 1000;
      this.#timeText = text;
      this.#timeHigh = Math.floor(micros / TWO_32);
      this.#timeLow = micros - this.#timeHigh * TWO_32;
    }
    this.#int32(8);
    this.#int32(this.#timeHigh);
    this.#int32(this.#timeLow);
    return true;
  }

  #int16(value: number): void {
    this.#bytes[this.#at++] = value >>> 8;
    this.#bytes[this.#at++] = value;
  }

  #int32(value: number): void {
    const bytes = this.#bytes;
    bytes[this.#at++] = value >>> 24;
    bytes[this.#at++] = value >>> 16;
    bytes[this.#at++] = value >>> 8;
    bytes[this.#at++] = value;
  }

  #reserve(length: number): void {
    if (this.#at + length <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, this.#at + length));
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#bytes = larger;
  }
}

/** Milliseconds since 1970; undefined when it is not for us to say. */
function plainTime(text: string): number | undefined {
  const day = PLAIN_TIME.exec(text)?.[1];
  if (day === undefined) return undefined;
  const ms = Date.parse(text);
  if (Number.isNaN(ms)) return undefined;
  // JavaScript takes February 30 for March 2.
  return day <= "28" || dateOf(Date.parse(text.slice(0, 10))) === text.slice(0, 10) ? ms : undefined;
}

function dateOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
