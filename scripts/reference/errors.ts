import { ERROR_CODES, VIOLATION_CODES } from "../../core/canonical/errors.ts";
import { code, page, table } from "./markdown.ts";

const MEANING = {
  reject: "change the request",
  retry: "try again later",
  "dead-letter": "the event is parked",
  bug: "our fault",
} as const;

export function errorsPage(): string {
  const codes = Object.entries(ERROR_CODES).map(([name, { http, grpc, disposition, title }]) => [
    code(name),
    String(http),
    grpc,
    MEANING[disposition],
    title,
  ]);
  const violations = Object.entries(VIOLATION_CODES).map(([name, title]) => [code(name), title]);
  return page(
    "Error codes",
    "Errors are `application/problem+json` (RFC 9457) with a stable `code`; `retryable` tells whether the same request may succeed later. What is wrong with an event stands in `errors`, each with a `pointer` (RFC 6901) and a `code` of its own.",
    table(["code", "HTTP", "gRPC", "what to do", "title"], codes),
    "## Codes of `errors[]`",
    table(["code", "meaning"], violations),
  );
}
