import type { ErrorCode, Violation } from "../../core/canonical/errors.ts";
import { ERROR_CODES, isRetryable } from "../../core/canonical/errors.ts";

export interface Problem {
  readonly code: ErrorCode;
  readonly detail: string;
  readonly traceId: string;
  readonly violations?: readonly Violation[] | undefined;
  /** Names of the quotas that said no. */
  readonly violatedPolicies?: readonly string[] | undefined;
}

/** The JSON text of an RFC 9457 problem document. */
export function problemJson({ code, detail, traceId, violations, violatedPolicies }: Problem): string {
  const { http: status, title } = ERROR_CODES[code];
  const errors = violations === undefined || violations.length === 0 ? undefined : violations;
  const type = `urn:pulsegate:error:${code}`;
  return JSON.stringify({
    type,
    title,
    status,
    detail,
    code,
    retryable: isRetryable(code),
    errors,
    "violated-policies": violatedPolicies,
    trace_id: traceId,
  });
}

/** One sentence for people out of what is wrong with an event. */
export function detailOf(violations: readonly Violation[]): string {
  const [first] = violations;
  if (first === undefined) return "the event was refused";
  const where = first.pointer === "" ? "" : `${first.pointer}: `;
  const more = violations.length > 1 ? ` (and ${violations.length - 1} more, see errors)` : "";
  return `${where}${first.detail}${more}`;
}
