import type { FastifyReply } from "fastify";
import { ERROR_CODES, isRetryable, PulseGateError } from "../../core/canonical/errors.ts";
import type { ErrorCode } from "../../core/canonical/errors.ts";

/** Answers with an RFC 9457 problem document. */
export async function sendProblem(reply: FastifyReply, error: PulseGateError): Promise<void> {
  const { http, title } = ERROR_CODES[error.code];
  const body = {
    type: `urn:pulsegate:error:${error.code}`,
    title,
    status: http,
    detail: error.message,
    code: error.code,
    retryable: isRetryable(error.code),
    ...(error.violations.length > 0 ? { errors: error.violations } : {}),
    trace_id: reply.request.id,
  };
  if (error.code === "unauthenticated") reply.header("www-authenticate", 'Bearer realm="pulsegate-admin"');
  if (error.retryAfterMs !== undefined) reply.header("retry-after", Math.ceil(error.retryAfterMs / 1_000));
  // As bytes: a text would be given a charset parameter, which the media type does not have.
  const bytes = Buffer.from(JSON.stringify(body));
  await reply.code(http).header("content-type", "application/problem+json").send(bytes);
}

/** Any failure of a handler as the one error class; what isn't ours to explain is `internal`. */
export function asPulseGateError(error: unknown): PulseGateError {
  if (error instanceof PulseGateError) return error;
  const { statusCode } = error as { statusCode?: unknown };
  const code = typeof statusCode === "number" ? codeOfStatus(statusCode) : "internal";
  const detail = code === "internal" ? "see PulseGate's log" : (error as Error).message;
  return new PulseGateError(code, detail, { cause: error });
}

/** What the router itself refuses. */
function codeOfStatus(status: number): ErrorCode {
  if (status === 413) return "body_too_large";
  if (status === 415) return "unsupported_media_type";
  return status >= 400 && status < 500 ? "malformed_request" : "internal";
}
