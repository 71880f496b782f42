import type { CanonicalEvent } from "../core/canonical/event.ts";
import type { Logger } from "../core/environment.ts";
import type { ZodType } from "zod";

export type { CanonicalEvent, EventSource } from "../core/canonical/event.ts";
export { payloadJson, encodeEvent } from "../core/canonical/codec.ts";
export { exactNumber, numberText } from "../core/canonical/payload-text.ts";

// What a plugin is made of, in the order of its life: a module's default export is a definition
// (`definePlugin`); `create` makes an instance for each place in the configuration and worker thread;
// `init` gets the validated options; then come events, with a context; `close` is the end. Guide with
// examples: docs/plugins.md.

/** What a plugin is handed with each event or batch. */
export interface PluginContext {
  readonly tenantId: string;
  /** JSON logs with tenant and plugin already bound. Never log payloads. Apart, 100 lines a second at most. */
  readonly logger: Logger;
  readonly metrics: PluginMetrics;
  /** 1 on the first try of this event; a batch carries the highest of its events. */
  readonly attempt: number;
  /** Aborts at the deadline (`retry.timeout`, of an isolated transform `deadline`) and at shutdown; pass it on to whatever you wait for. */
  readonly signal: AbortSignal;
  /**
   * The job's id when the event comes from a replay, redrive or backfill, so that transforms and sinks can tell
   * it from live traffic. A preview shows what they would make of live events: there it is not set.
   */
  readonly replayId?: string | undefined;
}

/**
 * Counters and timings of a plugin's own, exported as `pulsegate_plugin_*` with its name as a label. Names are cut at
 * 64 characters; 16 counts and 4 timings of a plugin have names of their own, further ones are `other`. An amount that
 * is no number from 0 on is left out.
 */
export interface PluginMetrics {
  count(name: string, by?: number): void;
  /** Seconds. */
  observe(name: string, seconds: number): void;
}

/**
 * `ok`: the event goes on, as it is here. `drop`: it is settled, counted by the reason (keep these few:
 * they are labels). `error`: a dead letter, at once or after `retry.attempts` of the sink.
 */
export type TransformOutcome =
  | { type: "ok"; event: CanonicalEvent }
  | { type: "drop"; reason: string }
  | { type: "error"; reason: string; retryable: boolean };

/** `ok`: it is stored. `retry`: not now. `error`: never; it becomes a dead letter. */
export type SinkOutcome =
  | { type: "ok" }
  | {
      type: "retry";
      reason: string;
      /** Stable code (SQLSTATE, HTTP status, errno) for dead letters and metrics. */
      code?: string;
      /** The target as a whole can't be reached or refuses work: an outage, which burns no attempts. */
      unavailable?: boolean;
      /** Not before so many milliseconds (e.g. from Retry-After). */
      retryAfterMs?: number;
      /** What the target answered, for the dead letter that it may become; capped by the caller. */
      response?: string;
      /**
       * Not sent: this call had no time or room left for it. It goes again soon and nothing is counted.
       * Some other event of the batch must have been tried, or else it is taken as a plain `retry`.
       */
      untried?: boolean;
    }
  | {
      type: "error";
      reason: string;
      code?: string;
      /** What the target answered, for the dead letter; capped by the caller. */
      response?: string;
    };

/**
 * Changes, drops or passes on one event. Runs once per event and lane, in order of the tenant's chain.
 * `event_id`, `tenant_id`, `received_at` and `source` are identity: changes to them are undone.
 * An event may grow to twice its size and 1 MiB.
 * A throw counts as `{ type: "error", retryable: false }`, and so does any other answer than an outcome.
 * Leave the given event alone and return a new one: `{ ...event, payload: { ...event.payload, … } }`.
 */
export interface TransformPlugin {
  name: string;
  version: string;
  /** Called once before traffic with the validated config. Rejects while it can't work: it is called on a new instance later. */
  init?(config: unknown): Promise<void>;
  /** Events of a batch are processed side by side. */
  process(event: CanonicalEvent, ctx: PluginContext): Promise<TransformOutcome>;
  /** Lets go of what `init` took. */
  close?(): Promise<void>;
}

/**
 * Delivers events to one target, at least once: after a crash the same `event_id` may come again,
 * so write idempotently where the target allows it. A throw counts as `retry`, and so does any other
 * answer than an outcome. One delivery is under way for each lane (tenant, partition, sink) of an instance.
 */
export interface SinkPlugin {
  name: string;
  version: string;
  /** As a transform's. It need not reach the target: what can't be reached is a `retry` later. */
  init?(config: unknown): Promise<void>;
  /** Delivers one event; a sink with `sendBatch` gets batches instead, of one event as well. */
  send(event: CanonicalEvent, ctx: PluginContext): Promise<SinkOutcome>;
  /**
   * Delivers many at once; one outcome per event, in the same order. Throw `BatchRejected` when the
   * target refused the batch as a whole because of some event in it: the caller splits it and asks
   * again until the guilty event stands alone.
   */
  sendBatch?(events: readonly CanonicalEvent[], ctx: PluginContext): Promise<readonly SinkOutcome[]>;
  /**
   * A batch is stored in its order and without a gap: nothing of it behind an event that is answered with `retry`,
   * unless that one is stored, too, and only its answer was lost. Then one batch may hold several events that
   * `ordering` keeps in order; without it, it holds one of each key.
   */
  keepsOrder?: boolean;
  /** Connection test, read-only for the target's data. Rejects with the reason. */
  check?(signal: AbortSignal): Promise<void>;
  /** Waits for what is under way and lets go of connections; may come twice. */
  close?(): Promise<void>;
}

/** The batch failed because of an event in it, and the target did not say which. Nothing of it was stored. */
export class BatchRejected extends Error {
  readonly code: string;
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "BatchRejected";
    this.code = code;
  }
}

/**
 * What a plugin's module exports as default. `create` makes one instance for each place in the
 * configuration, so that state is never shared between tenants.
 */
export type PluginDefinition = TransformDefinition | SinkDefinition;

interface DefinitionBase {
  readonly name: string;
  /** Semantic version; kept in dead letters. */
  readonly version: string;
  /** One line for lists and docs. */
  readonly summary: string;
  /**
   * Schema of the plugin's `config:` block: validation, defaults and the reference page come from it.
   * Describe each option with `.describe()`; mark secrets with `.meta({ secret: true })`.
   */
  readonly config?: ZodType | undefined;
}

export interface TransformDefinition extends DefinitionBase {
  readonly kind: "transform";
  create(): TransformPlugin;
}

export interface SinkDefinition extends DefinitionBase {
  readonly kind: "sink";
  create(): SinkPlugin;
}

/** Gives a definition its type; returns it unchanged. */
export function definePlugin<T extends PluginDefinition>(definition: T): T {
  return definition;
}
