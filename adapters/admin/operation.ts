import type { z } from "zod";
import type { ErrorCode } from "../../core/canonical/errors.ts";
import type { Principal } from "./auth.ts";
import type { AdminPorts, Role } from "./ports.ts";

/**
 * One route of the admin API, as a whole: the router, the checks in front of it, the OpenAPI document
 * and the test of who may do what are all made from this.
 */
export interface Operation<Query extends Schema = Schema, Body extends z.ZodType = z.ZodType> {
  /** `operationId`, and the action in the audit stream. */
  readonly id: string;
  readonly method: "GET" | "POST" | "PATCH" | "DELETE";
  /** OpenAPI path below `/admin/v1`. A part named `tenant` is checked against the token's. */
  readonly path: string;
  readonly summary: string;
  readonly description?: string | undefined;
  readonly role: Role;
  /** `global`: not for tokens of one tenant. */
  readonly scope: "tenant" | "global";
  readonly query?: Query | undefined;
  /** JSON, absent counts as `{}`; `yaml` is a text. */
  readonly body?: Body | "yaml" | undefined;
  readonly bodyBytesMax?: number | undefined;
  /** Whether `If-Match` is looked at, or must be there. */
  readonly ifMatch?: "optional" | "required" | undefined;
  readonly status?: number | undefined;
  /** Of the answer; a text is its media type. */
  readonly response: z.ZodType | string;
  /** Beyond those that every route may answer. */
  readonly errors?: readonly ErrorCode[] | undefined;
  readonly handle: (call: Call<z.output<Query>, z.output<Body>>, ports: AdminPorts) => Promise<Answer>;
}

export type Schema = z.ZodObject;

export interface Call<Query, Body> {
  readonly who: Principal;
  /** Where the request came from. */
  readonly address: string;
  /** Named by the path or the query, else the token's own: nothing of another may be shown. */
  readonly tenantId: string | undefined;
  readonly params: Readonly<Record<string, string>>;
  readonly query: Query;
  readonly body: Body;
  readonly ifMatch: number | undefined;
  readonly idempotencyKey: string | undefined;
  /** Aborts when the client is gone. */
  readonly signal: AbortSignal;
}

export interface Answer {
  /** Data, JSON text that is already written, or a stream of text. */
  readonly body: unknown;
  readonly version?: number | undefined;
}

/** Infers the types of query and body. */
export function operation<Query extends Schema, Body extends z.ZodType>(
  definition: Operation<Query, Body>,
): Operation<Query, Body> {
  return definition;
}

/** An answer that is JSON text already: it goes out byte for byte. */
export class JsonText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** An answer without an end, until the client goes. */
export class TextStream {
  readonly lines: AsyncIterable<string>;

  constructor(lines: AsyncIterable<string>) {
    this.lines = lines;
  }
}

/** A part of the path by its name in `Operation.path`, decoded. */
export function param({ params }: Call<unknown, unknown>, name: string): string {
  return params[name] ?? "";
}
