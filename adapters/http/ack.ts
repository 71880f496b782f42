import { timestamp } from "../../core/canonical/codec.ts";
import type { IngestResult } from "../../core/ingestion/ingest.ts";
import { formatPosition } from "../../core/ingestion/log.ts";

export type Stored = Extract<IngestResult, { type: "accepted" | "duplicate" }>;

/** The members of an acknowledgement, without braces. ASCII only: ids are. */
export function ackMembers({ type, eventId, stream, sequence, receivedAt, durability }: Stored): string {
  const duplicate = type === "duplicate" ? ',"duplicate":true' : "";
  const relaxed = durability === undefined ? "" : `,"durability":"${durability}"`;
  return `"event_id":${quoted(eventId)},"position":"${formatPosition(stream, sequence)}","received_at":"${timestamp(receivedAt)}"${duplicate}${relaxed}`;
}

const NEEDS_ESCAPE = /["\\]/;

/** Event ids are printable ASCII: two characters of it need an escape. */
function quoted(text: string): string {
  return NEEDS_ESCAPE.test(text) ? JSON.stringify(text) : `"${text}"`;
}
