import type { LogEntry } from "../../core/ingestion/log.ts";

/**
 * An event that is kept beside its stream: `SEQUENCE ERASED-AT RECEIVED-AT`, a line's end, and the event. Erased, or
 * with 0 for when: what was stored together with an erased one.
 */
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
  const entry = { sequence, receivedAt, bytes: text.subarray(end + 1) };
  return erasedAt === 0 ? entry : { ...entry, erasedAt };
}
