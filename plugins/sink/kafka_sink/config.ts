import { z } from "zod";

/** Kafka's own rule for names. */
const TOPIC_PATTERN = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}$/;
const BROKER_PATTERN = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?$/;

const BROKER_ERROR = "must be a broker's address like kafka-1.example.com:9092";

const tls = z.strictObject({
  enabled: z.boolean().default(true).describe("Encrypt the connection."),
  ca_file: z
    .string()
    .min(1)
    .optional()
    .describe("A file with certificate authorities in PEM form, instead of Node's; read at the start."),
  reject_unauthorized: z
    .boolean()
    .default(true)
    .describe("Refuse a broker whose certificate or host name does not hold. Turn off only for a test."),
});

const sasl = z.strictObject({
  mechanism: z.enum(["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]).describe("How to prove who we are."),
  username: z.string().min(1).describe("The name."),
  password: z.string().min(1).meta({ secret: true }).describe("The password."),
});

/** As a list, or as one text with commas, which is how an environment variable holds it. */
const brokers = z.union([
  z.array(z.string().regex(BROKER_PATTERN, BROKER_ERROR)).min(1).max(64),
  z.string().refine((text) => brokersOf(text).every((one) => BROKER_PATTERN.test(one)), `each ${BROKER_ERROR}`),
]);

/** Options of kafka_sink. Plain data: it is posted to worker threads. */
export const config = z
  .strictObject({
    brokers: brokers
      .optional()
      .meta({ examples: [["kafka-1.example.com:9092"]] })
      .describe(
        "Brokers to begin with. Without them KAFKA_BROKERS of the environment (with commas); `pulsegate dev` falls back to localhost:9092.",
      ),
    topic: z
      .string()
      .regex(TOPIC_PATTERN, "must be 1 to 249 letters, digits, . _ or -")
      .meta({ examples: ["analytics_events"] })
      .describe("Where the records go. It must exist: nothing is created."),
    value: z
      .enum(["payload", "event"])
      .default("payload")
      .describe(
        "The record's value: the payload byte for byte as it came, or the whole event as JSON. The headers describe the event either way.",
      ),
    key: z
      .enum(["event_id", "tenant_id", "none"])
      .default("event_id")
      .describe(
        "The record's key, which picks the partition as Kafka's own clients do. `none` spreads the records in turn.",
      ),
    compression: z
      .enum(["none", "gzip", "snappy", "lz4", "zstd"])
      .default("none")
      .describe("How record batches are compressed."),
    request_bytes_max: z
      .int()
      .min(1_024)
      .max(104_857_600)
      .default(900_000)
      .describe("Most bytes of records in one request. Keep it below the topic's `max.message.bytes`."),
    request_timeout_ms: z
      .int()
      .min(500)
      .max(600_000)
      .default(10_000)
      .describe("One request is given up after so long. Keep it well below the sink's `retry.timeout`."),
    connect_timeout_ms: z.int().min(100).max(600_000).default(5_000).describe("Longest wait for a connection."),
    client_id: z
      .string()
      .regex(/^[A-Za-z0-9._-]{1,255}$/, "must be letters, digits, . _ or -")
      .default("pulsegate")
      .describe("Shown in the brokers' logs and quotas."),
    tls: tls.optional().describe("Encryption; off without it."),
    sasl: sasl.optional().describe("Authentication; none without it."),
  })
  .refine((options) => options.brokers !== undefined, {
    error: "`brokers` is required: list them here, or set KAFKA_BROKERS in the environment",
  });

export type Config = z.output<typeof config>;

/** Each broker of the option by itself. */
export function brokersOf(brokers: string | readonly string[] | undefined): readonly string[] {
  return typeof brokers === "string" ? brokers.split(",").map((part) => part.trim()) : (brokers ?? []);
}
