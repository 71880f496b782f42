import type { CanonicalEvent } from "../../../core/canonical/event.ts";
import { payloadJson } from "../../contract.ts";

const TEXT_OID = 25;
/** dimensions, has-null flag, element type, length, lower bound: 4 bytes each. */
const HEADER_BYTES = 20;
const NULL_LENGTH = -1;

type HeadColumn = Exclude<keyof CanonicalEvent, "payload">;

/** The columns before `payload`, in the order of the statement's parameters. */
export const HEAD_COLUMNS = [
  "tenant_id",
  "event_id",
  "event_type",
  "occurred_at",
  "received_at",
  "source",
  "trace_id",
  "idempotency_key",
] as const satisfies readonly HeadColumn[];

/**
 * The events as binary `text[]` arrays, one per head column and then the payloads' JSON text.
 * Binary, because an array's text form escapes every quote of every payload: so the payload's bytes
 * are copied once, as they came. Measured in docs/decisions/0040-postgres-bulk-insert.md.
 */
export function columnsOf(events: readonly CanonicalEvent[]): Buffer[] {
  return [...HEAD_COLUMNS.map((column) => headArray(events, column)), payloadArray(events)];
}

function headArray(events: readonly CanonicalEvent[], column: HeadColumn): Buffer {
  let bytes = HEADER_BYTES;
  let hasNull = false;
  for (const event of events) {
    const value = event[column];
    bytes += 4;
    if (value === undefined) hasNull = true;
    else bytes += Buffer.byteLength(value);
  }
  const array = Buffer.allocUnsafe(bytes);
  let at = writeHeader(array, { length: events.length, hasNull });
  for (const event of events) {
    const value = event[column];
    if (value === undefined) {
      at = array.writeInt32BE(NULL_LENGTH, at);
      continue;
    }
    const written = array.write(value, at + 4);
    array.writeInt32BE(written, at);
    at += 4 + written;
  }
  return array;
}

function payloadArray(events: readonly CanonicalEvent[]): Buffer {
  const payloads = events.map(payloadJson);
  const bytes = payloads.reduce((sum, payload) => sum + 4 + payload.length, HEADER_BYTES);
  const array = Buffer.allocUnsafe(bytes);
  let at = writeHeader(array, { length: events.length, hasNull: false });
  for (const payload of payloads) {
    at = array.writeInt32BE(payload.length, at);
    array.set(payload, at);
    at += payload.length;
  }
  return array;
}

function writeHeader(array: Buffer, header: { length: number; hasNull: boolean }): number {
  let at = array.writeInt32BE(1, 0);
  at = array.writeInt32BE(header.hasNull ? 1 : 0, at);
  at = array.writeInt32BE(TEXT_OID, at);
  at = array.writeInt32BE(header.length, at);
  return array.writeInt32BE(1, at);
}
