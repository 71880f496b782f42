import type { LogEntry } from "../../core/ingestion/log.ts";

/** What is left of an erased event: `SEQUENCE ERASED-AT RECEIVED-AT`, a line's end, and the event. */
export function keptOf({ sequence, erasedAt = 0, receivedAt, bytes }: LogEntry): Buffer {
  return Buffer.concat([Buffer.from(`${sequence} ${erasedAt} ${receivedAt}\n`), bytes]);
}

export function keptEntry(text: Buffer): LogEntry {
  const end = text.indexOf(0x0a);
  const [sequence, erasedAt, receivedAt] = text.toString("latin1", 0, end).split(" ").map(Number) as [
    number,
    number,
    number,
  ];
  return { sequence, erasedAt, receivedAt, bytes: text.subarray(end + 1) };
}
