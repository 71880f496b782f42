import { type ErrorCode, ERROR_CODES, PulseGateError } from "../core/canonical/errors.ts";
import type { LogFields, Logger } from "../core/environment.ts";
import type { JobOrder } from "../core/ingestion/jobs.ts";
import type { PreviewRequest } from "../core/ingestion/preview.ts";
import type { Revision } from "../core/ingestion/revision.ts";
import type { SkipRequest } from "./skip.ts";

/** What a worker thread is started with. */
export interface ThreadData {
  readonly workerId: string;
  readonly revision: Revision;
  /** Keys of lanes that an operator has paused. */
  readonly paused: readonly string[];
  /** Tenants that have labels of their own in metrics. */
  readonly named?: readonly string[] | undefined;
  /** From the log driver; see `attach` of `serveWorker`. */
  readonly handle: unknown;
  readonly windowBytesMax: number | undefined;
  readonly lanesInLine: boolean | undefined;
  /** The jobs that run. */
  readonly jobs: readonly JobOrder[];
}

export type Request =
  | { readonly type: "apply"; readonly revision: Revision; readonly named?: readonly string[] | undefined }
  | { readonly type: "hold"; readonly paused: readonly string[] }
  | { readonly type: "skip"; readonly skip: SkipRequest }
  | { readonly type: "preview"; readonly preview: PreviewRequest }
  | { readonly type: "run"; readonly jobs: readonly JobOrder[] }
  | { readonly type: "reread"; readonly tenantId: string }
  | { readonly type: "status" }
  | { readonly type: "sights" }
  | { readonly type: "scrape"; readonly named: readonly string[] }
  | { readonly type: "stop"; readonly deadlineMs: number };

/** To the thread. */
export interface Ask {
  readonly id: number;
  readonly request: Request;
}

/** From the thread. */
export type Told =
  | { readonly type: "ready" }
  | { readonly type: "failed"; readonly error: ErrorData }
  | { readonly type: "answer"; readonly id: number; readonly value: unknown }
  | { readonly type: "refusal"; readonly id: number; readonly error: ErrorData }
  | { readonly type: "log"; readonly level: keyof Logger; readonly fields: LogFields; readonly message: string };

/** An error as it crosses threads: a class does not survive the copy. */
export interface ErrorData {
  readonly code: ErrorCode | undefined;
  readonly message: string;
  readonly stack: string | undefined;
}

export function errorData(error: unknown): ErrorData {
  const code = error instanceof PulseGateError ? error.code : undefined;
  if (!(error instanceof Error)) return { code, message: String(error), stack: undefined };
  return { code, message: error.message, stack: error.stack };
}

export function errorFrom({ code, message, stack }: ErrorData): Error {
  const known = code !== undefined && code in ERROR_CODES;
  const error = known ? new PulseGateError(code, message) : new Error(message);
  if (stack !== undefined) error.stack = stack;
  return error;
}
