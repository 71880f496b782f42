import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { pulsegate, spawnPulsegate } from "../helpers/cli.ts";
import { startTestKafka, type TestKafka } from "../helpers/kafka.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { until } from "../helpers/until.ts";

let kafka: TestKafka;
beforeAll(async () => {
  kafka = await startTestKafka();
});
afterAll(async () => {
  await kafka?.stop();
});

/** The founding text's sinks, to the letter. */
const SINKS = `      sinks:
        - name: postgres_sink
          config:
            table: events_raw
        - name: kafka_sink
          config:
            topic: analytics_events
`;

async function configured(): Promise<{ dir: string; config: string }> {
  const dir = await tempDir();
  const config = join(dir, "pulsegate.yaml");
  const text = `tenants:\n  - id: tenant_shop_1\n    keys: [{ id: web, key: shop-key }]\n    plugins:\n${SINKS}`;
  await writeFile(config, text);
  return { dir, config };
}

const devArgs = (dir: string, config: string) => [
  ...["dev", "--config", config, "--data", join(dir, "dev"), "--port", "0", "--ops-port", "0"],
];

test("dev runs the founding sinks as they stand: rows at once, records as soon as there is a topic", async () => {
  const { dir, config } = await configured();
  const running = spawnPulsegate(devArgs(dir, config), { env: { KAFKA_BROKERS: `127.0.0.1:${kafka.port}` } });
  const [, url] = await running.output(/events +(http:\/\/localhost:\d+)\/v1\/events/);
  const answer = await fetch(`${url}/v1/events`, {
    method: "POST",
    headers: { "X-API-Key": "shop-key", "Content-Type": "application/json" },
    body: '{"event_type":"order_paid","event_id":"order-1","payload":{"total":12.50}}',
  });
  expect(answer.status).toBe(202);
  await until(async () => {
    const sql = ["sql", "--data", join(dir, "dev"), "--json", "SELECT event_id FROM events_raw"];
    const { stdout } = await pulsegate(sql);
    return stdout.includes("order-1") ? true : undefined;
  }, "the row");
  await running.output(/UNKNOWN_TOPIC_OR_PARTITION.*sink is out/);
  await kafka.createTopic("analytics_events");
  const [record] = await until(async () => {
    const records = await kafka.records("analytics_events");
    return records.length > 0 ? records : undefined;
  }, "the record");
  expect(record?.key.toString()).toBe("order-1");
  expect(record?.value.toString()).toBe('{"total":12.50}');
});

test("dev without a broker starts and says where it looks for one; start refuses", async () => {
  const { dir, config } = await configured();
  const env = { KAFKA_BROKERS: "" };
  const running = spawnPulsegate(devArgs(dir, config), { env });
  await running.output(/kafka_sink has no brokers in the file and KAFKA_BROKERS is not set: localhost:9092 is tried/);
  await running.output(/Ctrl-C stops/);
  await writeFile(config, `tenants:\n  - id: a\n    plugins:\n${SINKS}`);
  const refused = await pulsegate(["start", "--config", config], { env });
  expect(refused.code).toBe(1);
  expect(refused.stderr).toMatch(/:7:\d+: .*`url` or `host` is required/);
  expect(refused.stderr).toMatch(/:10:\d+: .*`brokers` is required: list them here, or set KAFKA_BROKERS/);
});
