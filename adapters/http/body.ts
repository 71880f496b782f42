import type { IncomingMessage } from "node:http";
import type { ErrorCode } from "../../core/canonical/errors.ts";

export interface BodyLimits {
  readonly bytesMax: number;
  readonly budget: BodyBudget;
}

/** Memory that bodies still on their way may take, all connections together. */
export interface BodyBudget {
  readonly bytesMax: number;
  used: number;
}

/**
 * Reads a whole body, then calls `done` once; or `refuse` once, with the body not read to its end.
 * Calls neither when the client goes away. Small bodies mostly are one chunk, and then nothing is copied.
 */
export function collectBody(
  request: IncomingMessage,
  { bytesMax, budget }: BodyLimits,
  done: (body: Buffer) => void,
  refuse: (code: ErrorCode, detail: string) => void,
): void {
  let first: Buffer | undefined;
  let rest: Buffer[] | undefined;
  let size = 0;
  /** What of the budget this body holds, until the request is over: nothing while it is one chunk. */
  let held = 0;
  let refused = false;

  function stop(code: ErrorCode, detail: string): void {
    refused = true;
    release();
    refuse(code, detail);
  }

  function release(): void {
    budget.used -= held;
    held = 0;
    first = undefined;
    rest = undefined;
  }

  request.on("data", (chunk: Buffer) => {
    if (refused) return;
    size += chunk.length;
    if (size > bytesMax) return stop("body_too_large", `the body is larger than ${bytesMax} bytes`);
    if (first === undefined) {
      first = chunk;
      return;
    }
    if (rest === undefined) {
      rest = [first];
      request.once("close", release);
    }
    rest.push(chunk);
    budget.used += size - held;
    held = size;
    if (budget.used > budget.bytesMax) stop("overloaded", "too many large bodies are on their way");
  });

  request.on("end", () => {
    if (refused) return;
    const body = rest === undefined ? (first ?? EMPTY) : Buffer.concat(rest, size);
    done(body);
  });
}

const EMPTY = Buffer.alloc(0);
