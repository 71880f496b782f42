import type { SinkOutcome } from "../../contract.ts";
import type { Answer } from "./exchange.ts";

/** What an answer says about the event and about the endpoint. */
export interface Judgement {
  readonly outcome: SinkOutcome;
  /** The endpoint has too much to do: send less at one time. */
  readonly throttle: boolean;
  /** It wants no more, ever: stop sending. */
  readonly gone: boolean;
}

const OK: Judgement = { outcome: { type: "ok" }, throttle: false, gone: false };
const THROTTLES: ReadonlySet<number> = new Set([429, 502, 504]);
/** Says that the endpoint as a whole does not take events now. */
const OUTAGES: ReadonlySet<number> = new Set([410, 429, 502, 503, 504]);
/** Of the 4xx, those that another try may mend. */
const PASSING: ReadonlySet<number> = new Set([408, 425]);

/** By Standard Webhooks: 2xx is success, 410 the end, 429, 502 and 504 ask for less; redirects are not followed. */
export function judge(answer: Answer, nowMs: number): Judgement {
  const { status, text } = answer;
  if (status >= 200 && status < 300) return OK;
  const code = String(status);
  const response = text === "" ? {} : { response: text };
  if (status >= 400 && status < 500 && !OUTAGES.has(status) && !PASSING.has(status)) {
    return { ...OK, outcome: { type: "error", code, reason: `the endpoint answered ${status}`, ...response } };
  }
  const isRedirect = status >= 300 && status < 400;
  const retryAfterMs = retryAfterOf(answer.retryAfter, nowMs);
  return {
    outcome: {
      type: "retry",
      code,
      reason: isRedirect
        ? `the endpoint answered ${status}; redirects are not followed: correct its url`
        : `the endpoint answered ${status}`,
      unavailable: isRedirect || OUTAGES.has(status),
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
      ...response,
    },
    throttle: THROTTLES.has(status),
    gone: status === 410,
  };
}

const IMF_DATE = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;

/** RFC 9110: seconds, or a date. Anything else is no word on waiting. */
function retryAfterOf(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1_000;
  const at = IMF_DATE.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs);
}

/** No answer: what went wrong on the way. Never an event's fault, unless the fault is our own. */
export function outcomeOfFailure(error: unknown): SinkOutcome {
  const { code, message } = error as NodeJS.ErrnoException;
  if (error instanceof TypeError || error instanceof RangeError) {
    return { type: "retry", code: "plugin_error", reason: message };
  }
  const known = code === undefined ? "connection_lost" : (UNDICI_CODES[code] ?? code);
  return { type: "retry", code: known, reason: message || `the connection failed (${known})`, unavailable: true };
}

const UNDICI_CODES: Readonly<Record<string, string>> = {
  UND_ERR_CONNECT_TIMEOUT: "timeout",
  UND_ERR_SOCKET: "connection_lost",
  UND_ERR_DESTROYED: "aborted",
  UND_ERR_CLOSED: "aborted",
};
