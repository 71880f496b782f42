import { createHash, timingSafeEqual } from "node:crypto";
import { EVENT_ID_PATTERN, NAME_PATTERN } from "../../core/canonical/event.ts";
import { PulseGateError } from "../../core/canonical/errors.ts";
import type { Violation } from "../../core/canonical/errors.ts";
import { parsePosition } from "../../core/ingestion/log.ts";
import type { DeadLetterQuery, LaneId } from "../../core/ingestion/log.ts";

/** Whether a request shows the token; takes the same time whatever it shows. */
export function isAuthorized(header: string | undefined, token: string): boolean {
  const shown = /^bearer +(\S+)$/i.exec(header ?? "")?.[1] ?? "";
  return timingSafeEqual(digestOf(shown), digestOf(token)) && shown !== "";
}

function digestOf(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

const PAGE_LIMIT_DEFAULT = 50;
const PAGE_LIMIT_MAX = 500;

/** The query of a dead letter listing; rejects with `malformed_request`, naming every parameter that is wrong. */
export function decodeDeadLetterQuery(query: unknown): DeadLetterQuery {
  const given = query as Readonly<Record<string, unknown>>;
  const violations: Violation[] = [];
  const text = (name: string): string | undefined => {
    const value = given[name];
    if (value === undefined || typeof value === "string") return value;
    violations.push({ pointer: `/${name}`, code: "invalid_format", detail: `${name} is given more than once` });
    return undefined;
  };
  for (const name of Object.keys(given)) {
    if (!["tenant", "sink", "after", "limit"].includes(name)) {
      const detail = `unknown parameter ${name}; known: tenant, sink, after, limit`;
      violations.push({ pointer: `/${name}`, code: "unknown_member", detail });
    }
  }
  const limitText = text("limit");
  const limit = limitText === undefined ? PAGE_LIMIT_DEFAULT : Number(limitText);
  if (!Number.isInteger(limit) || limit < 1 || limit > PAGE_LIMIT_MAX) {
    const detail = `limit is a whole number from 1 to ${PAGE_LIMIT_MAX}`;
    violations.push({ pointer: "/limit", code: "invalid_format", detail });
  }
  const afterText = text("after");
  const after = afterText === undefined ? undefined : parseDeadLetterId(afterText);
  if (afterText !== undefined && after === undefined) {
    violations.push({ pointer: "/after", code: "invalid_format", detail: "after is the `next` of the page before" });
  }
  const result = { tenantId: text("tenant"), sink: text("sink"), after, limit };
  if (violations.length > 0) {
    throw new PulseGateError("malformed_request", "the query parameters are not valid", { violations });
  }
  return result;
}

const DEAD_LETTER_ID = /^([A-Za-z0-9_.:-]{1,128})\/(\d{1,9})\/([A-Za-z0-9_.:-]{1,128})\/(\d{1,15})$/;

/** `tenant/partition/sink/sequence`: names a dead letter, and the place to go on behind. */
export function parseDeadLetterId(text: string): { lane: LaneId; sequence: number } | undefined {
  const [, tenantId, partition, sink, sequence] = DEAD_LETTER_ID.exec(text) ?? [];
  if (tenantId === undefined || sink === undefined) return undefined;
  return { lane: { stream: { tenantId, partition: Number(partition) }, sink }, sequence: Number(sequence) };
}

/** Tenant and event id or position out of a path; rejects with `not_found` when it can't name an event. */
export function decodeEventPath(tenantId: string, idOrPosition: string): { tenantId: string; idOrPosition: string } {
  const possible = EVENT_ID_PATTERN.test(idOrPosition) || parsePosition(idOrPosition) !== undefined;
  if (!NAME_PATTERN.test(tenantId) || !possible) throw new PulseGateError("not_found", "no such event");
  return { tenantId, idOrPosition };
}
