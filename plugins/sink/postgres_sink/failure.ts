import pg from "pg";
import { TableProblem } from "./table.ts";

/** What an error of the database says about the events that were sent. */
export interface Failure {
  /** `retry`: they may pass later. `row`: one of them is at fault. `permanent`: none of them can pass. */
  readonly kind: "retry" | "row" | "permanent";
  /** With `retry`: the database as a whole, or our access to it, is at fault; no event is. */
  readonly unavailable: boolean;
  /** SQLSTATE, errno, or a word of our own. */
  readonly code: string;
  readonly reason: string;
}

type Verdict = Pick<Failure, "kind" | "unavailable">;
const RETRY: Verdict = { kind: "retry", unavailable: false };
const OUTAGE: Verdict = { kind: "retry", unavailable: true };
const ROW: Verdict = { kind: "row", unavailable: false };
const PERMANENT: Verdict = { kind: "permanent", unavailable: false };

/** The longest prefix decides. https://www.postgresql.org/docs/18/errcodes-appendix.html */
const SQLSTATES: Readonly<Record<string, Verdict>> = {
  "08": OUTAGE, // connection exception
  "0A": PERMANENT, // feature not supported
  "21": ROW, // cardinality violation
  "22": ROW, // data exception
  "23": ROW, // integrity constraint violation
  "25006": OUTAGE, // read-only: a standby, or a server in failover
  "26": RETRY, // a pooler between us lost the prepared statement
  "28": OUTAGE, // our credentials are refused: the operator's to mend, no event's fault
  "3D": OUTAGE, // no such database
  "3F": OUTAGE, // no such schema
  "40": RETRY, // deadlock, serialization failure
  "42": PERMANENT, // the table is not what we need
  "42P05": RETRY, // a pooler between us: the prepared statement exists already
  "44": ROW, // WITH CHECK OPTION violation
  "53": OUTAGE, // out of disk, memory, connections
  "54": ROW, // program limit exceeded, e.g. a document too large for jsonb
  "55P03": RETRY, // lock not available
  "57014": OUTAGE, // the statement deadline: the server is slow or the table is locked
  "57P": OUTAGE, // shutdown, crash, start-up
  P0: ROW, // raised by a trigger
};

export function failureOf(error: unknown): Failure {
  if (error instanceof TableProblem) return { ...PERMANENT, code: error.code, reason: error.message };
  const { message, code } = error as NodeJS.ErrnoException;
  if (error instanceof pg.DatabaseError) {
    const state = code ?? "XX000";
    return { ...verdictOf(state), code: state, reason: message };
  }
  // A fault of ours may be one event's doing: it must not hold up the lane for ever.
  if (error instanceof TypeError || error instanceof RangeError)
    return { ...RETRY, code: "plugin_error", reason: message };
  // Whatever is not the server's word is about the way to it: sockets, TLS, timeouts.
  return { ...OUTAGE, code: code ?? "connection_lost", reason: message || "the connection failed" };
}

function verdictOf(state: string): Verdict {
  for (let length = state.length; length >= 2; length--) {
    const verdict = SQLSTATES[state.slice(0, length)];
    if (verdict !== undefined) return verdict;
  }
  return RETRY;
}
