import { performance } from "node:perf_hooks";
import {
  type CanonicalEvent,
  definePlugin,
  type PluginContext,
  type SinkOutcome,
  type SinkPlugin,
} from "../../contract.ts";
import { chunksOf, halvesOf } from "./chunks.ts";
import type { KafkaClient } from "./client.ts";
import { brokersOf, type Config, config } from "./config.ts";
import { type Failure, failureOf } from "./failure.ts";
import { type KafkaRecord, recordOf } from "./record.ts";

const NAME = "kafka_sink";
const VERSION = "1.0.0";
/** A call begins requests for so long; what is left over goes with the next. */
const SENDING_MS = 10_000;

export default definePlugin({
  kind: "sink",
  name: NAME,
  version: VERSION,
  summary: "Writes each event as a record into a Kafka topic, with CloudEvents headers",
  config,
  create: () => new KafkaSink(),
});

class KafkaSink implements SinkPlugin {
  readonly name = NAME;
  readonly version = VERSION;
  /** Requests go out one after another, none behind one that failed. */
  readonly keepsOrder = true;
  #config!: Config;
  #client!: KafkaClient;
  /** An idempotent producer has one request out at a time; calls wait for each other here. */
  #last: Promise<unknown> = Promise.resolve();

  /** Opens no connection: brokers that are down at the start are an outage like any other. */
  async init(options: unknown): Promise<void> {
    this.#config = options as Config;
    // Not before it is needed: loading it costs each process and thread half a second.
    const { KafkaClient, optionsOf } = await import("./client.ts");
    this.#client = new KafkaClient(await optionsOf(this.#config));
  }

  async send(event: CanonicalEvent, ctx: PluginContext): Promise<SinkOutcome> {
    const [outcome] = await this.sendBatch([event], ctx);
    return outcome as SinkOutcome;
  }

  async sendBatch(events: readonly CanonicalEvent[], ctx: PluginContext): Promise<readonly SinkOutcome[]> {
    const until = performance.now() + SENDING_MS;
    const delivery = this.#last.then(() => this.#deliver(events, { signal: ctx.signal, until }));
    this.#last = delivery.catch(() => {});
    return delivery;
  }

  async #deliver(
    events: readonly CanonicalEvent[],
    { signal, until }: { readonly signal: AbortSignal; readonly until: number },
  ): Promise<readonly SinkOutcome[]> {
    const outcomes = events.map((): SinkOutcome | undefined => undefined);
    const records = events.map((event) => recordOf(event, this.#config));
    const chunks = chunksOf(records, this.#config.request_bytes_max).reverse();
    let left: SinkOutcome & { type: "retry" } = OUT_OF_TIME;
    for (let chunk = chunks.pop(); chunk !== undefined && performance.now() < until; chunk = chunks.pop()) {
      const failure = await this.#produce(chunk.records, signal);
      // A broker says that some record is bad, not which: halves, until it stands alone.
      if (failure?.kind === "record" && chunk.records.length > 1) chunks.push(...halvesOf(chunk));
      else chunk.records.forEach((_, i) => (outcomes[chunk.from + i] = this.#outcomeOf(failure)));
      if (failure?.kind !== "retry") continue;
      left = this.#outcomeOf(failure) as SinkOutcome & { type: "retry" };
      break;
    }
    return outcomes.map((outcome) => outcome ?? { ...left, untried: true });
  }

  async #produce(records: readonly KafkaRecord[], signal: AbortSignal): Promise<Failure | undefined> {
    try {
      await this.#client.produce(records, signal);
      return undefined;
    } catch (error) {
      return failureOf(error);
    }
  }

  #outcomeOf(failure: Failure | undefined): SinkOutcome {
    if (failure === undefined) return OK;
    const { kind, code, unavailable } = failure;
    const reason = `${failure.reason} (topic ${this.#config.topic} at ${brokersOf(this.#config.brokers).join(", ")})`;
    return kind === "retry" ? { type: "retry", code, reason, unavailable } : { type: "error", code, reason };
  }

  /** Looks the topic up, which creates nothing. */
  async check(signal: AbortSignal): Promise<void> {
    await this.#client.lookUp(this.#config.topic, signal);
  }

  /** Waits for what is being delivered; bounded, because each request is. */
  async close(): Promise<void> {
    await this.#last;
    await this.#client?.close();
  }
}

const OK: SinkOutcome = { type: "ok" };
const OUT_OF_TIME = { type: "retry", code: "out_of_time", reason: "no time was left to send it" } as const;
