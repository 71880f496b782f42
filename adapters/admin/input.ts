import { z } from "zod";
import { PulseGateError } from "../../core/canonical/errors.ts";
import type { Violation, ViolationCode } from "../../core/canonical/errors.ts";
import { EVENT_ID_PATTERN, NAME_PATTERN } from "../../core/canonical/event.ts";
import { parsePosition } from "../../core/ingestion/log.ts";
import type { LaneId } from "../../core/ingestion/log.ts";

const PAGE_LIMIT_DEFAULT = 50;
const PAGE_LIMIT_MAX = 500;

export const NOT_A_CURSOR = "after is the `next` of the page before";

/** Of every listing. */
export const PAGE = {
  limit: z.coerce
    .number(`limit is a whole number from 1 to ${PAGE_LIMIT_MAX}`)
    .int()
    .min(1)
    .max(PAGE_LIMIT_MAX)
    .default(PAGE_LIMIT_DEFAULT)
    .describe("Most items in the answer."),
  after: z.string().optional().describe("The `next` of the page before."),
};

export const TENANT = {
  tenant: z.string().regex(NAME_PATTERN).optional().describe("This tenant's only."),
};

/** RFC 3339; milliseconds since the epoch. */
export const TimeInput = z.iso
  .datetime({ offset: true, error: "an RFC 3339 timestamp with a zone is required, like 2025-03-01T12:00:00Z" })
  .transform((text) => Date.parse(text));

/** What a request says, or `malformed_request` with every violation. */
export function decode<T extends z.ZodType>(schema: T, value: unknown, where: "query" | "body"): z.output<T> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const violations = parsed.error.issues.flatMap((issue) => violationsOf(issue, value));
  const what = where === "query" ? "the query parameters are not valid" : "the body is not valid";
  throw new PulseGateError("malformed_request", what, { violations });
}

function violationsOf(issue: z.core.$ZodIssue, value: unknown): Violation[] {
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => ({
      pointer: pointerOf([...issue.path, key]),
      code: "unknown_member",
      detail: `there is no ${key} here`,
    }));
  }
  return [{ pointer: pointerOf(issue.path), code: codeOf(issue, value), detail: issue.message }];
}

function codeOf(issue: z.core.$ZodIssue, value: unknown): ViolationCode {
  if (issue.code !== "invalid_type") return "invalid_format";
  let at: unknown = value;
  for (const part of issue.path) at = (at as Readonly<Record<PropertyKey, unknown>> | undefined)?.[part];
  return at === undefined ? "missing" : "wrong_type";
}

function pointerOf(path: readonly PropertyKey[]): string {
  return path.map((part) => `/${String(part).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

export function badInput(pointer: string, detail: string): PulseGateError {
  const violations: Violation[] = [{ pointer, code: "invalid_format", detail }];
  return new PulseGateError("malformed_request", detail, { violations });
}

/** The live lane that a path names; `not_found` when it can't be one. */
export function laneOfPath(params: Readonly<Record<string, string>>): LaneId {
  const { tenant = "", partition = "", sink = "" } = params;
  if (NAME_PATTERN.test(tenant) && NAME_PATTERN.test(sink) && /^\d{1,9}$/.test(partition)) {
    return { stream: { tenantId: tenant, partition: Number(partition) }, sink };
  }
  throw new PulseGateError("not_found", `there is no lane ${tenant}/${partition}/${sink}`);
}

/** Tenant and event id or position out of a path; rejects with `not_found` when it can't name an event. */
export function eventOfPath(tenantId: string, idOrPosition: string): { tenantId: string; idOrPosition: string } {
  const possible = EVENT_ID_PATTERN.test(idOrPosition) || parsePosition(idOrPosition) !== undefined;
  if (!NAME_PATTERN.test(tenantId) || !possible) throw new PulseGateError("not_found", "no such event");
  return { tenantId, idOrPosition };
}

const DEAD_LETTER_ID =
  /^([A-Za-z0-9_.:-]{1,128})\/(\d{1,9})\/([A-Za-z0-9_.:-]{1,128})(?:@([a-z0-9~-]{1,256}))?\/(\d{1,15})$/;

/** `tenant/partition/sink/sequence`, the sink with `@job` behind it for a lane of a job: names a dead letter, and the place to go on behind. */
export function parseDeadLetterId(text: string): { lane: LaneId; sequence: number } | undefined {
  const [, tenantId, partition, sink, job, sequence] = DEAD_LETTER_ID.exec(text) ?? [];
  if (tenantId === undefined || sink === undefined) return undefined;
  const stream = { tenantId, partition: Number(partition) };
  return { lane: job === undefined ? { stream, sink } : { stream, sink, job }, sequence: Number(sequence) };
}

export interface Page {
  readonly limit: number;
  readonly after?: string | undefined;
}

/** A page of a list that is ordered by a key. */
export function pageOf<T>(
  all: readonly T[],
  keyOf: (item: T) => string,
  { limit, after }: Page,
): { items: T[]; next: string | null } {
  const sorted = all.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
  const rest = after === undefined ? sorted : sorted.filter((item) => keyOf(item) > after);
  const items = rest.slice(0, limit);
  const last = items.at(-1);
  return { items, next: rest.length > items.length && last !== undefined ? keyOf(last) : null };
}
