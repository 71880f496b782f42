/** What a failed request says about the records in it. */
export interface Failure {
  /** `retry`: they may pass later. `record`: one of them is at fault. `permanent`: none of them can pass. */
  readonly kind: "retry" | "record" | "permanent";
  /** With `retry`: the brokers, the topic or our access to them are at fault; no event is. */
  readonly unavailable: boolean;
  /** The broker's own name for it, an errno, or a word of our own. */
  readonly code: string;
  readonly reason: string;
}

type Verdict = Pick<Failure, "kind" | "unavailable">;
const RETRY: Verdict = { kind: "retry", unavailable: false };
const OUTAGE: Verdict = { kind: "retry", unavailable: true };
const RECORD: Verdict = { kind: "record", unavailable: false };
const PERMANENT: Verdict = { kind: "permanent", unavailable: false };

/** The broker's words; one that is not here is a plain retry. https://kafka.apache.org/protocol#protocol_error_codes */
const BROKER_CODES: Readonly<Record<string, Verdict>> = {
  MESSAGE_TOO_LARGE: RECORD,
  RECORD_LIST_TOO_LARGE: RECORD,
  INVALID_RECORD: RECORD, // e.g. no key for a compacted topic
  INVALID_TIMESTAMP: RECORD,
  POLICY_VIOLATION: RECORD,
  UNSUPPORTED_COMPRESSION_TYPE: PERMANENT,
  UNSUPPORTED_FOR_MESSAGE_FORMAT: PERMANENT,
  // The operator's to mend: what waits is delivered once that is done.
  UNKNOWN_TOPIC_OR_PARTITION: OUTAGE,
  INVALID_TOPIC_EXCEPTION: OUTAGE,
  TOPIC_AUTHORIZATION_FAILED: OUTAGE,
  CLUSTER_AUTHORIZATION_FAILED: OUTAGE,
  SASL_AUTHENTICATION_FAILED: OUTAGE,
  UNSUPPORTED_SASL_MECHANISM: OUTAGE,
  ILLEGAL_SASL_STATE: OUTAGE,
  // The brokers' own.
  LEADER_NOT_AVAILABLE: OUTAGE,
  NOT_LEADER_OR_FOLLOWER: OUTAGE,
  REPLICA_NOT_AVAILABLE: OUTAGE,
  BROKER_NOT_AVAILABLE: OUTAGE,
  NOT_ENOUGH_REPLICAS: OUTAGE,
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: OUTAGE,
  REQUEST_TIMED_OUT: OUTAGE,
  NETWORK_EXCEPTION: OUTAGE,
  KAFKA_STORAGE_ERROR: OUTAGE,
  FENCED_LEADER_EPOCH: OUTAGE,
  UNKNOWN_LEADER_EPOCH: OUTAGE,
  COORDINATOR_LOAD_IN_PROGRESS: OUTAGE,
  COORDINATOR_NOT_AVAILABLE: OUTAGE,
  NOT_COORDINATOR: OUTAGE,
  THROTTLING_QUOTA_EXCEEDED: OUTAGE,
};

/** No answer within the deadline, or the caller cancelled: what the broker did is unknown. */
export class Unanswered extends Error {
  readonly code: "timeout" | "aborted";
  constructor(code: "timeout" | "aborted", message: string) {
    super(message);
    this.name = "Unanswered";
    this.code = code;
  }
}

/** By code, never by text. */
export function failureOf(error: unknown): Failure {
  const chain = chainOf(error);
  const reason = chain.at(-1)?.message || "the request failed";
  const said = chain.flatMap(({ apiId }) => (apiId === undefined ? [] : [apiId]));
  const known = said.find((code) => code in BROKER_CODES);
  if (known !== undefined) return { ...(BROKER_CODES[known] as Verdict), code: known, reason };
  if (said[0] !== undefined) return { ...RETRY, code: said[0], reason };
  // The client's own word for a topic that the brokers don't know.
  if (chain[0]?.code === "PLT_KFK_USER") return { ...OUTAGE, code: "UNKNOWN_TOPIC_OR_PARTITION", reason };
  // A fault of ours may be one event's doing: it must not hold up the lane for ever.
  if (error instanceof TypeError || error instanceof RangeError) return { ...RETRY, code: "plugin_error", reason };
  const errno = chain.find(({ code }) => code !== undefined && !code.startsWith("PLT_KFK_"))?.code;
  return { ...OUTAGE, code: errno ?? "connection_lost", reason };
}

interface Link extends Error {
  readonly code?: string;
  readonly apiId?: string;
}

/** The error, those that it gathers and those that caused them, outermost first. */
function chainOf(error: unknown): Link[] {
  const found: Link[] = [];
  const look = (one: unknown, depth: number): void => {
    if (!(one instanceof Error) || depth > DEPTH_MAX) return;
    found.push(one);
    if (one instanceof AggregateError) for (const inner of one.errors) look(inner, depth + 1);
    look(one.cause, depth + 1);
  };
  look(error, 0);
  return found;
}

const DEPTH_MAX = 8;
