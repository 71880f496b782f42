import { readFile } from "node:fs/promises";
import { compatibilityPartitioner, ProduceAcks, Producer } from "@platformatic/kafka";
import { brokersOf, type Config } from "./config.ts";
import { Unanswered } from "./failure.ts";
import type { KafkaRecord } from "./record.ts";

/** The client tries again by itself so often, to follow a partition's leader; beyond that it is the pipeline's business. */
const RETRIES = 3;
const RETRY_DELAY_MS = 100;

export type KafkaOptions = Config & { readonly ca?: string | undefined };

export async function optionsOf(config: Config): Promise<KafkaOptions> {
  const { ca_file: caFile } = config.tls ?? {};
  return { ...config, ca: caFile === undefined ? undefined : await readFile(caFile, "utf8") };
}

/**
 * One idempotent producer, made when first needed, and made anew after a failure on the way: what a
 * broker that never answered did is unknown, and the client would wait for it.
 */
export class KafkaClient {
  readonly #options: KafkaOptions;
  #producer: Producer | undefined;
  #closed = false;

  constructor(options: KafkaOptions) {
    this.#options = options;
  }

  /** Resolves when all in-sync replicas have the records. */
  async produce(records: readonly KafkaRecord[], signal: AbortSignal): Promise<void> {
    const messages = records.map((record) => ({ ...record }));
    await this.#use(signal, (producer) => producer.send({ messages, acks: ProduceAcks.ALL, idempotent: true }));
  }

  /** Rejects if the topic can't be found. */
  async lookUp(topic: string, signal: AbortSignal): Promise<void> {
    await this.#use(signal, (producer) => producer.metadata({ topics: [topic], forceUpdate: true }));
  }

  async close(): Promise<void> {
    this.#closed = true;
    const producer = this.#producer;
    this.#producer = undefined;
    await producer?.close(true);
  }

  async #use(signal: AbortSignal, use: (producer: Producer) => Promise<unknown>): Promise<void> {
    if (this.#closed || signal.aborted) throw new Unanswered("aborted", "the delivery was cancelled");
    const producer = (this.#producer ??= makeProducer(this.#options));
    try {
      await within(use(producer), { signal, timeoutMs: this.#options.request_timeout_ms });
    } catch (error) {
      if (this.#producer === producer) this.#producer = undefined;
      // Not waited for: that may take as long as the broker is silent.
      producer.close(true).catch(() => {});
      throw error;
    }
  }
}

function makeProducer(options: KafkaOptions): Producer {
  const { brokers, client_id: clientId, key, compression, sasl, tls, ca } = options;
  return new Producer({
    clientId,
    bootstrapBrokers: [...brokersOf(brokers)],
    idempotent: true,
    acks: ProduceAcks.ALL,
    autocreateTopics: false,
    retries: RETRIES,
    retryDelay: RETRY_DELAY_MS,
    // The broker's own deadline for its replicas comes before ours.
    timeout: Math.ceil(options.request_timeout_ms / 2),
    requestTimeout: options.request_timeout_ms,
    connectTimeout: options.connect_timeout_ms,
    // As Java clients do it, so that a key's records lie together whoever wrote them. Without keys, in turn.
    ...(key === "none" ? {} : { partitioner: compatibilityPartitioner }),
    ...(compression === "none" ? {} : { compression }),
    ...(sasl === undefined ? {} : { sasl }),
    ...(tls?.enabled === true
      ? {
          tls: { rejectUnauthorized: tls.reject_unauthorized, ...(ca === undefined ? {} : { ca }) },
          tlsServerName: true,
        }
      : {}),
  });
}

async function within(
  answer: Promise<unknown>,
  { signal, timeoutMs }: { readonly signal: AbortSignal; readonly timeoutMs: number },
): Promise<void> {
  const { promise: ended, reject } = Promise.withResolvers<never>();
  const cancel = () => reject(new Unanswered("aborted", "the delivery was cancelled"));
  const late = () => reject(new Unanswered("timeout", `the brokers did not answer within ${timeoutMs} ms`));
  const timer = setTimeout(late, timeoutMs);
  signal.addEventListener("abort", cancel, { once: true });
  try {
    await Promise.race([answer, ended]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", cancel);
    // Whichever lost the race must not count as an unhandled rejection.
    answer.catch(() => {});
    ended.catch(() => {});
  }
}
