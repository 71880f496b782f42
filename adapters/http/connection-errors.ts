import type { Socket } from "node:net";
import { STATUS_CODES } from "node:http";
import type { ErrorCode } from "../../core/canonical/errors.ts";
import { ERROR_CODES } from "../../core/canonical/errors.ts";
import type { Exchange, ExchangeScope } from "./exchange.ts";
import { problemJson } from "./problem.ts";

const CURRENT = Symbol("current exchange");
type Tracked = Socket & { [CURRENT]?: Exchange };

/** Remembers a connection's newest exchange, for what may go wrong on the connection later. */
export function track(socket: Socket, exchange: Exchange): void {
  (socket as Tracked)[CURRENT] = exchange;
}

/**
 * What the HTTP parser or a deadline found wrong on a connection. The request that is being read is
 * answered; one that waits for the log is never answered with an error of the bytes behind it.
 */
export function onClientError(error: NodeJS.ErrnoException, socket: Socket, scope: ExchangeScope): void {
  const refusal = refusalOf(error);
  const current = (socket as Tracked)[CURRENT];
  if (refusal === undefined || !socket.writable) {
    socket.destroy();
  } else if (current === undefined || (current.answered && current.response.isSent)) {
    socket.end(rawResponse(refusal, scope));
    // Whatever else it sends is not read: give the answer a moment to leave, then let go.
    socket.destroySoon();
  } else if (current.answered) {
    socket.destroy();
  } else if (current.request.complete) {
    current.closing = true;
  } else {
    current.closing = true;
    current.refuse(refusal.code, refusal.detail);
  }
}

interface ConnectionRefusal {
  readonly code: ErrorCode;
  readonly detail: string;
}

function refusalOf({ code }: NodeJS.ErrnoException): ConnectionRefusal | undefined {
  if (code === "HPE_HEADER_OVERFLOW") return { code: "headers_too_large", detail: "shorten or drop some headers" };
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") return { code: "request_timeout", detail: "send head and body faster" };
  if (code?.startsWith("HPE_") === true)
    return { code: "malformed_request", detail: "this is not well-formed HTTP/1.1" };
  return undefined;
}

function rawResponse({ code, detail }: ConnectionRefusal, { ids, metrics }: ExchangeScope): string {
  const { http: status } = ERROR_CODES[code];
  const body = problemJson({ code, detail, traceId: ids.traceId() });
  metrics.request({ adapter: "http", tenantId: undefined, status, latencyMs: 0 });
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "Content-Type: application/problem+json",
    `Content-Length: ${Buffer.byteLength(body)}`,
    "Connection: close",
  ];
  return `${head.join("\r\n")}\r\n\r\n${body}`;
}
