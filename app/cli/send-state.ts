import { createHash, randomUUID } from "node:crypto";
import { readFile, rename, rm, stat, writeFile } from "node:fs/promises";

/** How far a file has been sent; kept beside it until it is done. */
export interface SendState {
  /** Made once per sending: event ids follow from it, so that a repeated line is recognised. */
  readonly sendId: string;
  /** Lines and bytes whose fate is known. */
  readonly lines: number;
  readonly bytes: number;
  readonly accepted: number;
  readonly duplicates: number;
  readonly rejected: number;
}

export function freshState(): SendState {
  return { sendId: randomUUID(), lines: 0, bytes: 0, accepted: 0, duplicates: 0, rejected: 0 };
}

/** Beside the file, so that the same command goes on where it stopped. */
export function statePath(file: string): string {
  return `${file}.pulsegate-send`;
}

/** The state of an interrupted sending; undefined when there is none or the file has become shorter since. */
export async function readState(file: string): Promise<SendState | undefined> {
  try {
    const state = JSON.parse(await readFile(statePath(file), "utf8")) as SendState;
    return state.bytes <= (await stat(file)).size ? state : undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Written before the first request and after each: whenever the process dies, no line gets a second id. */
export async function writeState(file: string, state: SendState): Promise<void> {
  const draft = `${statePath(file)}.${process.pid}`;
  await writeFile(draft, JSON.stringify(state));
  await rename(draft, statePath(file));
}

export async function removeState(file: string): Promise<void> {
  await rm(statePath(file), { force: true });
}

/** The event id of a line that has none of its own: a UUID (version 8) of the sending and the line's number. */
export function lineEventId(sendId: string, line: number): string {
  const digest = createHash("sha256").update(`${sendId}/${line}`).digest();
  digest[6] = ((digest[6] as number) & 0x0f) | 0x80;
  digest[8] = ((digest[8] as number) & 0x3f) | 0x80;
  const hex = digest.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join("-");
}
