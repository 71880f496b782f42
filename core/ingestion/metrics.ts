import type { DiskUse } from "./log.ts";

/**
 * What the parts report, as narrow interfaces: the core knows no metrics client. `observability/`
 * implements them; tests pass what they want to look at.
 */
export interface IngestMetrics {
  /** One request is answered. */
  request(request: {
    readonly adapter: "http" | "grpc" | "kafka";
    /** Undefined until the credential is known. */
    readonly tenantId: string | undefined;
    /** HTTP status (or its like). */
    readonly status: number;
    readonly latencyMs: number;
  }): void;
  /** Events of one request by outcome; `code` is an error code, `accepted` or `duplicate`. */
  events(tenantId: string, code: string, events: number, bytes: number): void;
  /** Refused because of load or quota, not because of its content. */
  backpressure(tenantId: string | undefined, reason: string): void;
}

export interface LogMetrics {
  /** One group commit became durable. `waitSeconds`: from the first entry's arrival to the start of its write. */
  commit(commit: {
    readonly entries: number;
    readonly bytes: number;
    readonly waitSeconds: number;
    readonly syncSeconds: number;
  }): void;
  /** Ids that deduplication can still recognise: the age of the oldest, in seconds, and how many are known. */
  dedup(state: { readonly windowSeconds: number; readonly ids: number; readonly bytes: number }): void;
  failed(code: string): void;
  /** An alarm is raised or over: the log's backend lost what it held, or may lose what it is given. */
  alarm(alarm: "lost" | "unsafe", raised: boolean): void;
}

export interface RetentionMetrics {
  /** What the log's files take up, and where they are bounded. Told anew before each scrape. */
  disk(use: DiskUse): void;
  /** Bytes of a tenant's stored events, told anew with each round of retention. */
  stored(bytes: ReadonlyMap<string, number>): void;
  /** Events that a lane had not settled and that went to make room. */
  dropped(tenantId: string, events: number): void;
}

/** All label values are bounded: tenants by the cap of the registry, sinks and stages by the configuration. */
export interface LaneMetrics {
  /** One delivery call to a sink. */
  delivery(delivery: {
    readonly tenantId: string;
    readonly sink: string;
    readonly plugin: string;
    readonly events: number;
    readonly seconds: number;
  }): void;
  /** Events settled, by outcome `delivered`, `filtered`, `dead`. */
  settled(tenantId: string, sink: string, outcome: "delivered" | "filtered" | "dead", events: number): void;
  /** Events settled by lanes of jobs: `failed` are given up, or still dead letters. */
  replayed(tenantId: string, sink: string, outcome: "delivered" | "filtered" | "failed", events: number): void;
  /** Failures that were or will be retried, dead letters aside. `stage` as in DeadLetter. */
  error(error: {
    readonly tenantId: string;
    readonly sink: string;
    readonly stage: string;
    readonly code: string;
    readonly events: number;
  }): void;
  deadLetter(tenantId: string, sink: string, stage: string): void;
  /** From read to settled, for a batch, in seconds. */
  processing(tenantId: string, sink: string, seconds: number): void;
  /** Current state of a tenant's sink, its partitions taken together; told anew before each scrape. `lagSeconds`: age of the oldest unsettled event, 0 when there is none. */
  lane(lane: {
    readonly tenantId: string;
    readonly sink: string;
    readonly lagEvents: number;
    readonly lagSeconds: number;
    /** Undefined where no sink belongs to the lane any more. */
    readonly breaker?: "closed" | "open" | "half_open" | undefined;
  }): void;
}
