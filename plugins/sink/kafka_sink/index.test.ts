import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { sinkConformance } from "../../../tests/conformance/sink.ts";
import { eventOf, eventsOf } from "../../../tests/helpers/sink-events.ts";
import { startTestKafka, type TestKafka } from "../../../tests/helpers/kafka.ts";
import { Proxy } from "../../testing/proxy.ts";
import { until } from "../../../tests/helpers/until.ts";
import { encodeEvent, type SinkPlugin } from "../../contract.ts";
import { contextOf } from "../../testing/events.ts";
import type { SinkTarget } from "../../testing/sink.ts";
import { kafkaTarget } from "./conformance.ts";
import plugin from "./index.ts";

let kafka: TestKafka;
let proxy: Proxy;
beforeAll(async () => {
  proxy = new Proxy(() => ({ host: "127.0.0.1", port: kafka.proxiedPort }));
  await proxy.listen();
  kafka = await startTestKafka({ proxyPort: proxy.port });
});
afterAll(async () => {
  await kafka?.stop();
  await proxy.close();
});

async function kafkaSink(options: Record<string, unknown>): Promise<SinkPlugin> {
  const sink = plugin.create();
  await sink.init?.(plugin.config.parse(options));
  return sink;
}

/** A sink on a topic of its own, closed when the test ends. */
async function open(
  options: Record<string, unknown> = {},
  topicOptions: Parameters<TestKafka["createTopic"]>[1] = {},
): Promise<{ sink: SinkPlugin; topic: string }> {
  const topic = `test-${randomUUID()}`;
  await kafka.createTopic(topic, topicOptions);
  const sink = await kafkaSink({ brokers: [`127.0.0.1:${kafka.port}`], topic, ...options });
  onTestFinished(() => sink.close?.());
  return { sink, topic };
}

const send = (sink: SinkPlugin, n = 1) => sink.send(eventOf(n), contextOf());
const outage = (code: string) => expect.objectContaining({ type: "retry", unavailable: true, code });

/** Through the proxy, so that connections can be harmed. */
async function harmableTarget(): Promise<SinkTarget> {
  const target = await kafkaTarget([`127.0.0.1:${kafka.port}`]);
  return {
    ...target,
    config: { ...(target.config as object), brokers: [`127.0.0.1:${proxy.port}`] },
    outage: () => proxy.outage(),
    freeze: () => proxy.freeze(),
    async breakNextDelivery() {
      // The broker takes the records; that it did is never heard. The client tries again by itself, in vain.
      proxy.cutBeforeReply();
      proxy.refuse(true);
      return async () => proxy.refuse(false);
    },
    async close() {
      proxy.refuse(false);
      proxy.stall(false);
      await target.close();
    },
  };
}

sinkConformance({ definition: plugin, target: harmableTarget });

describe("a record", () => {
  const headersOf = (record: Awaited<ReturnType<TestKafka["records"]>>[number]) =>
    Object.fromEntries([...record.headers].map(([name, value]) => [name.toString(), value.toString()]));

  test("is a CloudEvent in binary mode: attributes in headers, the payload's bytes as value", async () => {
    const { sink, topic } = await open();
    const payload = '{"z":1, "a":[1.10,12345678901234567890,1e2],"z":2,"half":"\\ud800"}';
    const event = eventOf(2, payload, { occurredAt: "2025-03-01T12:00:00.123456+07:00" });
    expect(await sink.send(event, contextOf())).toEqual({ type: "ok" });
    const [record] = await kafka.records(topic);
    expect(record?.key.toString()).toBe("event-2");
    expect(record?.value.toString()).toBe(payload);
    expect(record?.timestamp).toBe(BigInt(Date.UTC(2026, 10, 24, 12) + 2));
    expect(record && headersOf(record)).toEqual({
      "content-type": "application/json",
      ce_specversion: "1.0",
      ce_id: "event-2",
      ce_type: "order_paid",
      ce_source: "/pulsegate/tenant_shop_1",
      ce_time: "2025-03-01T12:00:00.123456+07:00",
      ce_tenantid: "tenant_shop_1",
      ce_receivedat: "2026-11-24T12:00:00.002Z",
      ce_ingress: "http",
      ce_traceid: "0af7651916cd43dd8448eb211c80319c",
    });
  });

  test("holds the whole event if that is asked for, and the key that is asked for", async () => {
    const { sink, topic } = await open({ value: "event", key: "tenant_id" });
    const event = eventOf(1);
    await sink.send(event, contextOf());
    const [record] = await kafka.records(topic);
    expect(record?.key.toString()).toBe("tenant_shop_1");
    expect(record?.value.equals(encodeEvent(event))).toBe(true);
  });

  test("has no key if none is asked for, and records are spread over the partitions", async () => {
    const { sink, topic } = await open({ key: "none" }, { partitions: 3 });
    await sink.sendBatch?.(eventsOf(30), contextOf());
    const records = await kafka.records(topic);
    expect(new Set(records.map(({ partition }) => partition)).size).toBe(3);
    expect(records.every(({ key }) => key === undefined || key === null)).toBe(true);
  });

  test("goes where Java's clients put its key", async () => {
    const { sink, topic } = await open({}, { partitions: 6 });
    const ids = ["21", "foobar", "a-little-bit-long-string", "abc"];
    await sink.sendBatch?.(
      ids.map((eventId, n) => eventOf(n, "{}", { eventId })),
      contextOf(),
    );
    // By murmur2 as Kafka's own test has it (UtilsTest): -973932308, -790332482, -985981536, 479470107.
    const hashes = [-973932308, -790332482, -985981536, 479470107];
    const records = new Map((await kafka.records(topic)).map((record) => [record.key.toString(), record.partition]));
    expect(ids.map((id) => records.get(id))).toEqual(hashes.map((hash) => (hash & 0x7fffffff) % 6));
  });

  test.each(["gzip", "snappy", "lz4", "zstd"])("comes back as it was through %s", async (compression) => {
    const { sink, topic } = await open({ compression });
    expect(await sink.sendBatch?.(eventsOf(50), contextOf())).toEqual(new Array(50).fill({ type: "ok" }));
    const records = await kafka.records(topic);
    expect(records.map(({ key }) => key.toString())).toEqual(eventsOf(50).map(({ event_id }) => event_id));
  });
});

test("a batch that is larger than a request goes in several, in order", async () => {
  const { sink, topic } = await open({ request_bytes_max: 5_000 }, { configs: { "max.message.bytes": "6000" } });
  expect(await sink.sendBatch?.(eventsOf(200), contextOf())).toEqual(new Array(200).fill({ type: "ok" }));
  const records = await kafka.records(topic);
  expect(records.map(({ key }) => key.toString())).toEqual(eventsOf(200).map(({ event_id }) => event_id));
});

describe("an outage burns no event", () => {
  test("brokers that are not there give ECONNREFUSED, with their address", async () => {
    const sink = await kafkaSink({ brokers: "127.0.0.1:1, 127.0.0.1:2", topic: "any" });
    onTestFinished(() => sink.close?.());
    const outcome = await send(sink);
    expect(outcome).toEqual(outage("ECONNREFUSED"));
    expect(outcome.type === "retry" && outcome.reason).toContain("127.0.0.1:1, 127.0.0.1:2");
  });

  test("a topic that does not exist is waited for, and never created", async () => {
    const topic = `later-${randomUUID()}`;
    const sink = await kafkaSink({ brokers: [`127.0.0.1:${kafka.port}`], topic });
    onTestFinished(() => sink.close?.());
    expect(await send(sink)).toEqual(outage("UNKNOWN_TOPIC_OR_PARTITION"));
    await expect(sink.check?.(new AbortController().signal)).rejects.toThrow();
    await kafka.createTopic(topic);
    expect(await send(sink)).toEqual({ type: "ok" });
    await sink.check?.(new AbortController().signal);
  });

  test("a broker that is frozen gives `timeout` before the pipeline's own deadline, and the next delivery lands", async () => {
    const { sink, topic } = await open({ request_timeout_ms: 1_000 });
    await send(sink, 1);
    await kafka.freeze(true);
    try {
      expect(await send(sink, 2)).toEqual(outage("timeout"));
    } finally {
      await kafka.freeze(false);
    }
    await until(async () => ((await send(sink, 3)).type === "ok" ? true : undefined), "a delivery after the freeze");
    expect((await kafka.records(topic)).map(({ key }) => key.toString())).toContain("event-3");
  });

  test("a wrong password is an outage, the right one delivers", async () => {
    const { topic } = await open();
    const sasl = { mechanism: "PLAIN", username: "app", password: "wrong" };
    const options = { brokers: [`127.0.0.1:${kafka.saslPort}`], topic };
    const wrong = await kafkaSink({ ...options, sasl });
    const right = await kafkaSink({ ...options, sasl: { ...sasl, password: "app-secret" } });
    onTestFinished(async () => {
      await wrong.close?.();
      await right.close?.();
    });
    expect(await send(wrong)).toEqual(outage("SASL_AUTHENTICATION_FAILED"));
    expect(await send(right)).toEqual({ type: "ok" });
  });

  test("TLS delivers, and to nobody whose certificate does not hold", async () => {
    const { topic } = await open();
    const options = { brokers: [`localhost:${kafka.tlsPort}`], topic };
    const caFile = join(import.meta.dirname, "../postgres_sink/testdata/ca.pem");
    const trusting = await kafkaSink({ ...options, tls: { ca_file: caFile } });
    const doubting = await kafkaSink({ ...options, tls: {} });
    onTestFinished(async () => {
      await trusting.close?.();
      await doubting.close?.();
    });
    expect(await send(trusting)).toEqual({ type: "ok" });
    expect(await send(doubting)).toMatchObject({ type: "retry", unavailable: true });
    expect((await kafka.records(topic)).length).toBe(1);
  });
});

test("a delivery that is cancelled half-way returns at once, long before its own deadline", async () => {
  const topic = `cancelled-${randomUUID()}`;
  await kafka.createTopic(topic);
  const hour = { request_timeout_ms: 600_000, connect_timeout_ms: 600_000 };
  const sink = await kafkaSink({ brokers: [`127.0.0.1:${proxy.port}`], topic, ...hour });
  onTestFinished(() => sink.close?.());
  expect(await send(sink, 1)).toEqual({ type: "ok" });
  proxy.stall(true);
  const deadline = new AbortController();
  const delivery = sink.send(eventOf(2), contextOf(deadline.signal));
  // So that the request is out.
  for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
  deadline.abort();
  expect(await delivery).toEqual(outage("aborted"));
  proxy.stall(false);
});

test("an event that can't be made a record does not hold up those after it", async () => {
  const { sink } = await open();
  const spoiled = { ...eventOf(1), payload: { big: 1n } };
  await expect(sink.send(spoiled, contextOf())).rejects.toThrow(TypeError);
  expect(await send(sink, 2)).toEqual({ type: "ok" });
});

describe("the options", () => {
  const problemOf = (options: Record<string, unknown>) => plugin.config.safeParse(options).error?.issues[0]?.message;

  test("need brokers from somewhere, and a topic", () => {
    expect(problemOf({ topic: "a" })).toMatch(/KAFKA_BROKERS/);
    expect(plugin.config.safeParse({ brokers: ["a:1"] }).success).toBe(false);
    expect(problemOf({ topic: "a", brokers: "a:9092, b" })).toBeUndefined();
  });

  test.each([[["a b"]], [[]], [["http://a:1"]], ["a:9092,,b"], [["a:123456"]]])("refuse the brokers %j", (brokers) => {
    expect(plugin.config.safeParse({ topic: "a", brokers }).success).toBe(false);
  });

  test.each(["", ".", "..", "a b", "a/b", "x".repeat(250)])("refuse the topic %j", (topic) => {
    expect(plugin.config.safeParse({ topic, brokers: ["a"] }).success).toBe(false);
  });
});
