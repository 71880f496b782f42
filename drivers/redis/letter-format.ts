import type { DeadLetter } from "../../core/ingestion/log.ts";
import type { Argument } from "./client.ts";

const LINE_END = 0x0a;

/** Letters that fail alike: `FINGERPRINT/TYPE`. */
export function kindOf({ fingerprint, eventType }: Pick<DeadLetter, "fingerprint" | "eventType">): string {
  return `${fingerprint}/${eventType}`;
}

/** Sequences as texts that sort as numbers do. */
export function padded(sequence: number): string {
  return String(sequence).padStart(15, "0");
}

/** What the scripts need of a letter: sequence, times, what its kind is about, and the letter: kind, facts, bytes, a line each. */
export function letterArgs(letter: DeadLetter): Argument[] {
  const { bytes, ...facts } = letter;
  const { sequence, receivedAt, diedAt, stage, code, message } = letter;
  const head = Buffer.from(`${kindOf(letter)}\n${JSON.stringify(facts)}\n`);
  const info = JSON.stringify({ stage, code, message });
  return [sequence, receivedAt, diedAt, info, Buffer.concat([head, bytes])];
}

export function letterOf(text: Buffer): DeadLetter {
  const facts = text.indexOf(LINE_END) + 1;
  const bytes = text.indexOf(LINE_END, facts) + 1;
  const parsed = JSON.parse(text.toString("utf8", facts, bytes - 1)) as Omit<DeadLetter, "bytes">;
  return { ...parsed, bytes: text.subarray(bytes) };
}
