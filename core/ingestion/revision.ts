/**
 * One numbered, validated state of the configuration, as plain data: defaults filled in, secrets
 * resolved, units converted. `config/` makes it from YAML; it is posted to worker threads as it stands.
 */
export interface Revision {
  /** Rises by one with each accepted change; kept across restarts. */
  readonly number: number;
  readonly limits: Limits;
  readonly tenants: readonly TenantConfig[];
}

export interface Limits {
  /** One event, after decoding. */
  readonly eventBytesMax: number;
  /** One batch request, after decoding. */
  readonly batchBytesMax: number;
  readonly batchEventsMax: number;
  readonly headerTimeoutMs: number;
  readonly bodyTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  readonly connectionsMax: number;
  /** From one address. */
  readonly connectionsPerAddressMax: number;
  /** Of a body, in the mean since its request began; 0 for none. */
  readonly bodyBytesPerSecondMin: number;
}

export interface TenantConfig {
  readonly id: string;
  readonly keys: readonly ApiKey[];
  /** Events are spread over so many streams, by event id. */
  readonly partitions: number;
  readonly weight: number;
  /** Limits of this tenant at the door; none when undefined. */
  readonly quota?: QuotaConfig | undefined;
  /** What the log's own rule does not hold for; all of that when undefined. */
  readonly retention?: RetentionConfig | undefined;
  readonly transforms: readonly PluginUse[];
  readonly sinks: readonly SinkUse[];
}

/** As `RetentionRule`; what is undefined is as for all tenants. */
export interface RetentionConfig {
  readonly ageMs?: number | undefined;
  readonly bytesMax?: number | undefined;
  readonly deadLetterAgeMs?: number | undefined;
  readonly whenFull?: "refuse" | "drop_oldest" | undefined;
}

/** What a tenant may send; what is undefined is not limited. */
export interface QuotaConfig {
  readonly events?: RateConfig | undefined;
  /** Of bodies, after decoding. */
  readonly bytes?: RateConfig | undefined;
  /** Requests under way at one time. */
  readonly requestsInFlight?: number | undefined;
  /** Narrower than `Limits`. */
  readonly eventBytesMax?: number | undefined;
  readonly batchEventsMax?: number | undefined;
  /** Accepted and not yet settled by the slowest lane whose policy is `refuse`. */
  readonly backlogEvents?: number | undefined;
  readonly backlogBytes?: number | undefined;
}

export interface RateConfig {
  readonly perSecond: number;
  /** At least `perSecond`. */
  readonly burst: number;
}

export interface ApiKey {
  readonly id: string;
  /** Lower-case hex SHA-256 of the key's text. */
  readonly sha256: string;
}

export interface PluginUse {
  readonly name: string;
  /** Validated by the plugin's schema, defaults filled in. */
  readonly config: unknown;
  /** Where its code is; absent for a built-in plugin. */
  readonly module?: PluginModule | undefined;
  /** Absent: it runs in the worker's own thread. */
  readonly isolation?: Isolation | undefined;
}

/** A plugin that is not built in, as it was found and loaded when the revision was made. */
export interface PluginModule {
  /** As in the configuration: a path or the name of a package. */
  readonly source: string;
  /** `file:` address of the module. */
  readonly url: string;
  /** Of the plugin's own files; changes when they do. */
  readonly digest: string;
  readonly version: string;
}

/** A thread or process of its own for one use of a plugin, and what it may take before it is killed. */
export interface Isolation {
  readonly mode: "worker" | "process";
  readonly memoryBytes: number;
  /** One event may keep the plugin busy for so long. */
  readonly deadlineMs: number;
}

export interface SinkUse extends PluginUse {
  /** Names the lane; unique within the tenant. */
  readonly id: string;
  readonly retry: RetryPolicy;
  readonly batch: BatchPolicy;
  /** Events read ahead of the cursor and not settled: the lane's window. */
  readonly windowEvents: number;
  /** Deliveries at one time, over all partitions of one worker; found by trying, up to this. */
  readonly inFlightMax?: number | undefined;
  /** Which events reach the sink in the log's order; none need to when undefined. */
  readonly ordering?: Ordering | undefined;
  /** Whether the lane's backlog counts for the tenant's quota; `refuse` when undefined. */
  readonly backlog?: "refuse" | "ignore" | undefined;
  /** Which of the tenant's events the sink gets; every one when undefined. */
  readonly route?: RouteRule | undefined;
  /** Applied for this sink alone, after the tenant's own transforms and the route. */
  readonly transforms?: readonly PluginUse[] | undefined;
}

/** `stream`: all of a stream, one after another. Otherwise those with one value at a JSON pointer into the payload. */
export type Ordering = "stream" | { readonly key: string };

/** An event must pass all that is given. */
export interface RouteRule {
  /** A condition in CEL: core/router/condition.ts. */
  readonly when?: string | undefined;
  /** Event types, `*` standing for any characters: one of them must fit. */
  readonly include?: readonly string[] | undefined;
  /** None of them may fit. */
  readonly exclude?: readonly string[] | undefined;
  /** Of all event ids, the share that passes: above 0, up to 1. */
  readonly sampleShare?: number | undefined;
  /** Only what no sink of the tenant that is not a fallback takes. */
  readonly fallback?: boolean | undefined;
}

export interface RetryPolicy {
  /** Tries in all before an event that fails alone is dead-lettered. */
  readonly attempts: number;
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
  /** One delivery call is cancelled after so long. */
  readonly timeoutMs: number;
}

export interface BatchPolicy {
  readonly eventsMax: number;
  readonly bytesMax: number;
  /** Between the starts of two deliveries that are not full: how long a busy lane gathers. */
  readonly lingerMs: number;
}
