import type { IncomingMessage } from "node:http";
import type { ErrorCode } from "../../core/canonical/errors.ts";

/** Accounts for the memory of bodies on their way. */
export interface BodyLedger {
  /** So many more bytes are held; false when there is no room for them. */
  hold(bytes: number): boolean;
  /** So many bytes came, and more are to come. */
  comes(bytes: number): void;
  /** All of it came. */
  whole(): void;
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
  const declared = Number(request.headers["content-length"]);

  function stop(code: ErrorCode, detail: string): void {
    over = true;
    first = undefined;
    rest = undefined;
    refuse(code, detail);
  }

  function gone(): void {
    if (!over) ledger.letGo();
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
      if (size === declared) return;
      request.once("close", gone);
    } else (rest ??= [first]).push(chunk);
    ledger.comes(size);
    if (!hold()) stop("overloaded", "too many large bodies are on their way");
  });

  request.on("end", () => {
    if (over) return;
    over = true;
    ledger.whole();
    hold();
    done(rest === undefined ? (first ?? EMPTY) : Buffer.concat(rest, size));
  });
}

const EMPTY = Buffer.alloc(0);
