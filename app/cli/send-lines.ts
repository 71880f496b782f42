import { createReadStream } from "node:fs";

/** Some whole lines of an NDJSON source. */
export interface LineBatch {
  /** Number of the first line, from 1; empty lines count. */
  readonly first: number;
  /** The text of each line; empty ones are kept to keep the count. */
  readonly lines: readonly string[];
  /** Bytes of the source that these lines are, line ends included. */
  readonly bytes: number;
}

export interface LineOptions {
  /** A path, or `-` for standard input. */
  readonly file: string;
  /** Where to begin. */
  readonly skip: { readonly lines: number; readonly bytes: number };
  readonly linesMax: number;
  readonly bytesMax: number;
}

const NEWLINE = 0x0a;

/** Reads lines in batches, holding one batch and one chunk in memory. */
export async function* lineBatches({ file, skip, linesMax, bytesMax }: LineOptions): AsyncGenerator<LineBatch> {
  const source = file === "-" ? process.stdin : createReadStream(file, { start: skip.bytes });
  let first = skip.lines + 1;
  let lines: string[] = [];
  let bytes = 0;
  let rest: Buffer[] = [];
  const take = (): LineBatch => {
    const batch = { first, lines, bytes };
    first += lines.length;
    lines = [];
    bytes = 0;
    return batch;
  };
  for await (const chunk of source as AsyncIterable<Buffer>) {
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, from)) {
      rest.push(chunk.subarray(from, at));
      const line = rest.length === 1 ? (rest[0] as Buffer) : Buffer.concat(rest);
      rest = [];
      from = at + 1;
      if (lines.length > 0 && bytes + line.length > bytesMax) yield take();
      lines.push(line.toString("utf8").replace(/\r$/, ""));
      bytes += line.length + 1;
      if (lines.length >= linesMax) yield take();
    }
    if (from < chunk.length) rest.push(chunk.subarray(from));
  }
  if (rest.length > 0) {
    const line = Buffer.concat(rest);
    lines.push(line.toString("utf8"));
    bytes += line.length;
  }
  if (lines.length > 0) yield take();
}
