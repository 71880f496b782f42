import type { DeadLetter } from "../../core/ingestion/log.ts";
import type { LetterKeys } from "./letter-keys.ts";

type Content = Pick<DeadLetter, "message" | "response" | "attempts">;

/** A dead letter as the state has it: what may tell of the event's payload is sealed. */
export interface SealedLetter extends Omit<DeadLetter, keyof Content | "bytes"> {
  readonly key: number;
  /** The length of the content as JSON in four bytes, the content, the event's bytes. */
  readonly sealed: Uint8Array;
}

/** Within a transaction. */
export function sealedLetter(keys: LetterKeys, letter: DeadLetter): SealedLetter {
  const { message, response, attempts, bytes, ...facts } = letter;
  const content = Buffer.from(JSON.stringify({ message, response, attempts } satisfies Content));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(content.length);
  return { ...facts, ...keys.seal(Buffer.concat([length, content, bytes])) };
}

/** Undefined when its key was overwritten. */
export function openedLetter(keys: LetterKeys, { key, sealed, ...facts }: SealedLetter): DeadLetter | undefined {
  const clear = keys.open(key, sealed);
  if (clear === undefined) return undefined;
  const end = 4 + clear.readUInt32LE(0);
  const content = JSON.parse(clear.toString("utf8", 4, end)) as Content;
  return { ...facts, response: undefined, ...content, bytes: clear.subarray(end) };
}
