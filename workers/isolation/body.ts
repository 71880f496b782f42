import { decodeEvent, encodeEvent, payloadOf } from "../../core/canonical/codec.ts";
import type { LogFields, Logger } from "../../core/environment.ts";
import {
  type CanonicalEvent,
  type PluginContext,
  type PluginDefinition,
  type SinkPlugin,
  type TransformOutcome,
  type TransformPlugin,
} from "../../plugins/contract.ts";
import { loadPluginAt } from "../../plugins/loading/module.ts";
import { growthFault } from "../growth.ts";
import { type Assignment, type Order, type Report, type Result, thrownOf } from "./messages.ts";
import { pack, type Packed, unpack } from "./pack.ts";
import { Talk } from "./talk.ts";
import { hasMethod, sendEach } from "./instance.ts";

export interface BodyOptions {
  readonly tell: (report: Report, block?: ArrayBuffer) => void;
  readonly findPlugin: (name: string) => Promise<PluginDefinition | undefined>;
  readonly now: () => number;
}

/** Counts of a plugin's own between two reports. */
const NAMES_MAX = 64;
/** Timings of a plugin's own between two reports; what goes beyond is left out. */
const TIMINGS_MAX = 10_000;
const FIELDS_LENGTH_MAX = 8_192;
const MESSAGE_LENGTH_MAX = 2_000;

/** What runs inside an isolate: one plugin, and the orders for it. */
export class Body {
  readonly #options: BodyOptions;
  readonly #logger: Logger;
  readonly #cancels = new Map<number, AbortController>();
  #assignment: Assignment | undefined;
  #plugin: (TransformPlugin & SinkPlugin) | undefined;
  #counts = new Map<string, number>();
  #seconds: [string, number][] = [];

  constructor(options: BodyOptions) {
    this.#options = options;
    this.#logger = reportingLogger(options);
  }

  /** Never rejects. */
  async take(order: Order): Promise<void> {
    const { tell } = this.#options;
    switch (order.type) {
      case "start":
        return this.#start(order.assignment);
      case "transform":
        return this.#transform(order);
      case "deliver":
        return this.#deliver(order);
      case "cancel":
        return this.#cancels.get(order.id)?.abort();
      case "ping":
        return tell({ type: "pong" });
      case "close":
        return this.#close();
    }
  }

  async #start(assignment: Assignment): Promise<void> {
    const { kind, name, version, module, config } = assignment;
    this.#options.tell({ type: "began", rssBytes: process.memoryUsage.rss() });
    try {
      const definition =
        module === undefined ? await this.#options.findPlugin(name) : await loadPluginAt(module.url, module.digest);
      if (definition?.kind !== kind || definition.name !== name || definition.version !== version)
        throw new Error(`it is not ${name}@${version} any more: reload the configuration`);
      const plugin = definition.create() as TransformPlugin & SinkPlugin;
      if (!hasMethod(plugin, kind)) throw new TypeError(`the instance lacks a method that a ${kind} must have`);
      await plugin.init?.(config);
      this.#plugin = plugin;
      this.#assignment = assignment;
      this.#options.tell({ type: "started" });
    } catch (error) {
      this.#options.tell({ type: "refused", error: thrownOf(error) });
    }
  }

  async #close(): Promise<void> {
    try {
      await this.#plugin?.close?.();
    } catch (error) {
      this.#logger.warn({ reason: thrownOf(error).message }, "plugin did not close");
    }
    this.#tellMetrics();
    this.#options.tell({ type: "closed" });
  }

  /** Starts the events in their order, one after another, and tells from time to time what is through: also that it is alive. */
  async #transform({ id, events, attempts, replayIds }: Order & { type: "transform" }): Promise<void> {
    const { now } = this.#options;
    const { deadlineMs } = this.#assignment as Assignment;
    const tellMs = deadlineMs / 4;
    const cancel = this.#begin(id);
    const through = new Through(id);
    let toldAt = now();
    let movedAt = toldAt;
    const tell = () => {
      toldAt = movedAt = now();
      through.tell(this.#options.tell);
    };
    const lull = setInterval(
      () => {
        if (!through.isEmpty) tell();
        else if (now() - movedAt > deadlineMs - tellMs) cancel.abort();
      },
      Math.max(5, tellMs),
    );
    const one = async (bytes: Buffer, i: number) => {
      const { result, changed } = await this.#one(bytes, {
        attempt: attempts[i] ?? 1,
        signal: cancel.signal,
        replayId: replayIds[i],
      });
      through.add(i, result, changed);
    };
    const runs: Promise<void>[] = [];
    for (const [i, bytes] of unpack(events).entries()) {
      if (now() - toldAt > tellMs) tell();
      runs.push(one(bytes, i));
      // Lets those that are through say so before the next begins.
      await Promise.resolve();
    }
    await Promise.all(runs);
    clearInterval(lull);
    this.#end(id);
    tell();
  }

  async #one(
    bytes: Buffer,
    call: { attempt: number; signal: AbortSignal; replayId: string | undefined },
  ): Promise<{ result: Result; changed?: Buffer }> {
    try {
      const outcome = await this.#plugin?.process(decodeEvent(bytes), this.#context(call));
      return resultOf(outcome, bytes);
    } catch (error) {
      return { result: { threw: thrownOf(error) } };
    }
  }

  async #deliver({ id, events, attempt, replayId }: Order & { type: "deliver" }): Promise<void> {
    const { tell } = this.#options;
    const { signal } = this.#begin(id);
    try {
      const context = this.#context({ attempt, signal, replayId });
      const batch = unpack(events).map(decodeEvent);
      const outcomes = await sendTo(this.#plugin as SinkPlugin, batch, context);
      tell({ type: "delivered", id, outcomes: plainOutcomes(outcomes) });
    } catch (error) {
      tell({ type: "threw", id, error: thrownOf(error) });
    }
    this.#end(id);
  }

  #begin(id: number): AbortController {
    const cancel = new AbortController();
    this.#cancels.set(id, cancel);
    return cancel;
  }

  #end(id: number): void {
    this.#cancels.delete(id);
    this.#tellMetrics();
  }

  #context({ attempt, signal, replayId }: { attempt: number; signal: AbortSignal; replayId: string | undefined }) {
    const metrics = {
      count: (name: string, by = 1) => {
        if (this.#counts.size < NAMES_MAX || this.#counts.has(name))
          this.#counts.set(name, (this.#counts.get(name) ?? 0) + Number(by));
      },
      observe: (name: string, seconds: number) => {
        if (this.#seconds.length < TIMINGS_MAX) this.#seconds.push([name, Number(seconds)]);
      },
    };
    const tenantId = this.#assignment?.tenantId ?? "";
    return { tenantId, logger: this.#logger, metrics, attempt, signal, replayId } satisfies PluginContext;
  }

  #tellMetrics(): void {
    if (this.#counts.size + this.#seconds.length === 0) return;
    this.#options.tell({ type: "metrics", counts: [...this.#counts], seconds: this.#seconds });
    this.#counts = new Map();
    this.#seconds = [];
  }
}

/** Results of a transform order that were not told yet. */
class Through {
  readonly #id: number;
  #indexes: number[] = [];
  #results: Result[] = [];
  #changed: Buffer[] = [];

  constructor(id: number) {
    this.#id = id;
  }

  get isEmpty(): boolean {
    return this.#indexes.length === 0;
  }

  add(index: number, result: Result, changed: Buffer | undefined): void {
    this.#indexes.push(index);
    this.#results.push(result);
    if (changed !== undefined) this.#changed.push(changed);
  }

  tell(tell: BodyOptions["tell"]): void {
    const changed: Packed = pack(this.#changed);
    tell(
      { type: "through", id: this.#id, indexes: this.#indexes, results: this.#results, changed },
      changed.bytes.buffer,
    );
    this.#indexes = [];
    this.#results = [];
    this.#changed = [];
  }
}

function resultOf(outcome: TransformOutcome | undefined, accepted: Buffer): { result: Result; changed?: Buffer } {
  switch (outcome?.type) {
    case "ok": {
      const bytes = encodeChecked(outcome.event);
      const fault = growthFault(accepted, bytes);
      if (fault !== undefined) throw new RangeError(fault);
      return bytes === accepted ? { result: "same" } : { result: "changed", changed: bytes };
    }
    case "drop":
      return { result: { outcome: { type: "drop", reason: text(outcome.reason) } } };
    case "error": {
      const { reason, retryable } = outcome;
      const { code } = outcome as { code?: unknown };
      const kept = { type: "error", reason: text(reason), retryable: Boolean(retryable) } as const;
      return { result: { outcome: code === undefined ? kept : ({ ...kept, code: text(code) } as typeof kept) } };
    }
    default:
      return { result: { outcome: undefined } };
  }
}

function encodeChecked(event: CanonicalEvent): Buffer {
  if (typeof event !== "object" || event === null) throw new TypeError("it returned an event that is not an object");
  const bytes = encodeEvent(event);
  if (payloadOf(bytes)[0] !== OPENING_BRACE) throw new TypeError("it returned an event whose payload is not an object");
  return bytes;
}

const OPENING_BRACE = 0x7b;

/** Nothing given stays nothing: whoever counts it has a word for that. */
function text(value: unknown): string {
  const given: unknown = value ?? "";
  return typeof given === "string" ? given : String(given);
}

async function sendTo(
  sink: SinkPlugin,
  events: readonly CanonicalEvent[],
  context: PluginContext,
): Promise<readonly unknown[]> {
  const outcomes: unknown =
    sink.sendBatch === undefined ? await sendEach(sink, events, context) : await sink.sendBatch(events, context);
  if (Array.isArray(outcomes)) return outcomes;
  throw new TypeError("it returned no outcomes");
}

/** Plain copies: what else a plugin put into an outcome may not cross the boundary. */
function plainOutcomes(outcomes: readonly unknown[]): never[] {
  return outcomes.map((outcome) => {
    try {
      return JSON.parse(JSON.stringify(outcome)) as never;
    } catch {
      return null as never;
    }
  });
}

function reportingLogger({ tell, now }: BodyOptions): Logger {
  const talk = new Talk(now, (message) => tell({ type: "log", level: "warn", fields: {}, message }));
  const at = (level: keyof Logger) => (fields: LogFields, message: string) => {
    if (!talk.passes()) return;
    tell({ type: "log", level, fields: plainFields(fields), message: String(message).slice(0, MESSAGE_LENGTH_MAX) });
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** Of what can't be written, or is too much for a line, the names alone. */
function plainFields(fields: LogFields): LogFields {
  try {
    const text = JSON.stringify(fields);
    if (text.length <= FIELDS_LENGTH_MAX) return JSON.parse(text) as LogFields;
  } catch {
    // As if it were too much.
  }
  return { fields: Object.keys(fields ?? {}).slice(0, NAMES_MAX) };
}
