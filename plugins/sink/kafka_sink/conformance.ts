import { randomUUID } from "node:crypto";
import { Admin, Consumer, type Message, MessagesStreamModes } from "@platformatic/kafka";
import type { SinkTarget } from "../../testing/sink.ts";

const BYTES_MAX = "200000";

/** A topic of its own on these brokers, deleted in the end. */
export async function kafkaTarget(brokers: readonly string[]): Promise<SinkTarget> {
  const topic = `conformance-${randomUUID()}`;
  const base = { clientId: "conformance", bootstrapBrokers: [...brokers], retries: 20, retryDelay: 200 };
  const admin = new Admin(base);
  const limit = (value: string) => configure(admin, { topic, name: "max.message.bytes", value });
  await admin.createTopics({
    topics: [topic],
    partitions: 1,
    replicas: 1,
    configs: [{ name: "max.message.bytes", value: BYTES_MAX }],
  });
  return {
    // Small requests, so that a batch is several, as it is in earnest.
    config: { brokers, topic, request_bytes_max: 20_000, request_timeout_ms: 5_000, connect_timeout_ms: 2_000 },
    ordered: true,
    badPayload: JSON.stringify({ text: "x".repeat(300_000) }),
    async stored() {
      const records = await recordsOf(admin, { ...base, topic });
      return records.map(({ key, value }) => ({ eventId: key.toString(), payload: value.toString() }));
    },
    async permanentFault() {
      await limit("1");
      return () => limit(BYTES_MAX);
    },
    async close() {
      await admin.deleteTopics({ topics: [topic] });
      await admin.close();
    },
  };
}

/** Sets one of a topic's settings. */
export async function configure(
  admin: Admin,
  { topic, name, value }: { readonly topic: string; readonly name: string; readonly value: string },
): Promise<void> {
  const configs = [{ name, value, configOperation: 0 as const }];
  await admin.incrementalAlterConfigs({
    resources: [{ resourceType: 2, resourceName: topic, configs }],
    validateOnly: false,
  });
}

/** All records of a topic, in order within each partition. */
export async function recordsOf(
  admin: Admin,
  { topic, ...base }: { readonly topic: string; readonly clientId: string; readonly bootstrapBrokers: string[] },
): Promise<Message[]> {
  const metadata = await admin.metadata({ topics: [topic], forceUpdate: true });
  const partitions = metadata.topics.get(topic)?.partitionsCount ?? 0;
  const asked = Array.from({ length: partitions }, (_, partitionIndex) => ({ partitionIndex, timestamp: -1n }));
  const ends = await admin.listOffsets({ topics: [{ name: topic, partitions: asked }] });
  const total = ends.flatMap((one) => one.partitions).reduce((sum, { offset }) => sum + Number(offset), 0);
  const found: Message[] = [];
  if (total === 0) return found;
  const consumer = new Consumer({ ...base, groupId: randomUUID(), autocommit: false, maxWaitTime: 50 });
  const stream = await consumer.consume({ topics: [topic], mode: MessagesStreamModes.EARLIEST });
  for await (const message of stream) if (found.push(message) === total) break;
  await stream.close();
  await consumer.close(true);
  return found;
}
