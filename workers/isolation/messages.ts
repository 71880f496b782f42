import type { Logger, LogFields } from "../../core/environment.ts";
import type { PluginModule } from "../../core/ingestion/revision.ts";
import type { SinkOutcome, TransformOutcome } from "../../plugins/contract.ts";
import type { Packed } from "./pack.ts";

/** Which plugin an isolate is to run, and for whom. */
export interface Assignment {
  readonly kind: "transform" | "sink";
  readonly name: string;
  readonly version: string;
  /** Absent for a built-in plugin. */
  readonly module: PluginModule | undefined;
  readonly config: unknown;
  readonly tenantId: string;
  readonly deadlineMs: number;
}

/** To the isolate. */
export type Order =
  | { readonly type: "start"; readonly assignment: Assignment }
  | {
      readonly type: "transform";
      readonly id: number;
      readonly events: Packed;
      /** One for each event, as is each job that an event comes from. */
      readonly attempts: readonly number[];
      readonly replayIds: readonly (string | undefined)[];
    }
  | {
      readonly type: "deliver";
      readonly id: number;
      readonly events: Packed;
      readonly attempt: number;
      readonly replayId: string | undefined;
    }
  | { readonly type: "cancel"; readonly id: number }
  | { readonly type: "ping" }
  | { readonly type: "close" };

/** From the isolate. */
export type Report =
  /** Before the plugin is loaded. */
  | { readonly type: "began"; readonly rssBytes: number }
  | { readonly type: "started" }
  | { readonly type: "refused"; readonly error: Thrown }
  /** What is through of a transform order; none is a sign of life. */
  | {
      readonly type: "through";
      readonly id: number;
      readonly indexes: readonly number[];
      readonly results: readonly Result[];
      /** Of the results that are `changed`, in their order. */
      readonly changed: Packed;
    }
  | { readonly type: "delivered"; readonly id: number; readonly outcomes: readonly SinkOutcome[] }
  | { readonly type: "threw"; readonly id: number; readonly error: Thrown }
  | { readonly type: "pong" }
  | { readonly type: "closed" }
  | { readonly type: "log"; readonly level: keyof Logger; readonly fields: LogFields; readonly message: string }
  | {
      readonly type: "metrics";
      readonly counts: ReadonlyArray<readonly [name: string, by: number]>;
      readonly seconds: ReadonlyArray<readonly [name: string, seconds: number]>;
    };

/** What a transform made of one event: nothing new, other bytes, another outcome, or an exception. */
export type Result =
  | "same"
  | "changed"
  | { readonly outcome: Exclude<TransformOutcome, { type: "ok" }> | undefined }
  | { readonly threw: Thrown };

/** What was thrown, as it crosses the boundary. */
export interface Thrown {
  readonly name: string;
  readonly message: string;
  readonly code: string | undefined;
}

export function thrownOf(error: unknown): Thrown {
  try {
    if (!(error instanceof Error)) return { name: "Error", message: String(error), code: undefined };
    return { name: error.name, message: error.message, code: codeOf(error) };
  } catch {
    return { name: "Error", message: "unprintable", code: undefined };
  }
}

/** A failure's code, when it is one. */
export function codeOf(error: unknown): string | undefined {
  const code: unknown = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === "string" || typeof code === "number" ? String(code) : undefined;
}

/** Not of the class that it was, but by the same name and code, which is what callers go by. */
export function errorOf({ name, message, code }: Thrown): Error {
  return Object.assign(new Error(message), { name, ...(code === undefined ? {} : { code }) });
}
