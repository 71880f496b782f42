import type { IncomingMessage } from "node:http";
import type { ErrorCode } from "../../core/canonical/errors.ts";

/** Accounts for the memory of bodies on their way. */
export interface BodyLedger {
  /** So many more bytes are held; false when there is no room for them. */
  hold(bytes: number): boolean;
  /** The client went away before the body was whole. */
  letGo(): void;
}

/**
 * Reads a whole body, then calls `done` once; or `refuse` once, with the body not read to its end.
 * Calls neither when the client goes away. Small bodies mostly are one chunk, and then nothing is copied.
 */
export function collectBody(
  request: IncomingMessage,
  { bytesMax, ledger }: { readonly bytesMax: number; readonly ledger: BodyLedger },
  done: (body: Buffer) => void,
  refuse: (code: ErrorCode, detail: string) => void,
): void {
  let first: Buffer | undefined;
  let rest: Buffer[] | undefined;
  let size = 0;
  let held = 0;
  let over = false;

  function stop(code: ErrorCode, detail: string): void {
    over = true;
    first = undefined;
    rest = undefined;
    refuse(code, detail);
  }

  function hold(): boolean {
    const more = size - held;
    held = size;
    return ledger.hold(more);
  }

  request.on("data", (chunk: Buffer) => {
    if (over) return;
    size += chunk.length;
    if (size > bytesMax) return stop("body_too_large", `the body is larger than ${bytesMax} bytes`);
    if (first === undefined) {
      first = chunk;
      return;
    }
    if (rest === undefined) {
      rest = [first];
      request.once("close", () => {
        if (!over) ledger.letGo();
      });
    }
    rest.push(chunk);
    if (!hold()) stop("overloaded", "too many large bodies are on their way");
  });

  request.on("end", () => {
    if (over) return;
    over = true;
    hold();
    done(rest === undefined ? (first ?? EMPTY) : Buffer.concat(rest, size));
  });
}

const EMPTY = Buffer.alloc(0);
