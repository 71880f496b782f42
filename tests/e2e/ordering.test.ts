import { createHash } from "node:crypto";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { pulsegate, spawnPulsegate } from "../helpers/cli.ts";
import { type Endpoint, startEndpoint } from "../../plugins/testing/endpoint.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { until } from "../helpers/until.ts";

const ADMIN_TOKEN = "admin-token-for-this-test";
const KEY = "shop-key";
const KEYS = ["bad", "b", "c"];
const EACH = 20;

test("a failing key holds up itself alone, and all keys come in order, through a crash", {
  timeout: 120_000,
}, async () => {
  const endpoint = await startEndpoint();
  onTestFinished(() => endpoint.close());
  const config = await configFor(endpoint.port, "ordering: { key: /order/id }");
  let isHealed = false;
  endpoint.answer = ({ body }, response) => {
    const { key, n } = payloadOf(body);
    response.writeHead(key === "bad" && n === 3 && !isHealed ? 500 : 204).end();
  };

  const first = await start(config);
  await first.send();
  await until(
    () => KEYS.slice(1).every((key) => numbersOf(endpoint, key).length === EACH) || undefined,
    "the other keys are delivered",
  );
  expect(numbersOf(endpoint, "bad")).toEqual([0, 1, 2]);
  await until(async () => {
    const [lane] = await first.lanes();
    return (lane?.cursor === 3 * KEYS.length && lane.parked === EACH - 4) || undefined;
  }, "what comes before is committed, and what comes behind is parked");
  await first.kill();

  const taken = endpoint.taken.length;
  const second = await start(config);
  await until(
    () => endpoint.received.filter(({ body }) => payloadOf(body).key === "bad").length > 6 || undefined,
    "the failing key is tried again after the crash",
  );
  isHealed = true;
  await until(() => numbersOf(endpoint, "bad").length >= EACH || undefined, "the failing key is delivered");
  // What was not committed is repeated, and that in order as well.
  for (const key of KEYS) {
    expect(numbersOf(endpoint, key, taken)).toEqual(numbersOf(endpoint, key, taken).toSorted((a, b) => a - b));
    expect([...new Set(numbersOf(endpoint, key))]).toEqual(Array.from({ length: EACH }, (_, n) => n));
  }
  await until(
    async () => (await second.lanes())[0]?.cursor === EACH * KEYS.length || undefined,
    "everything is committed",
  );
});

test("an order that can't be kept is refused, with its place", async () => {
  const config = await configFor(1, "ordering: { key: /order/id }", 4);
  const { code, stderr } = await pulsegate(["config", "check", "--config", config]);
  expect(code).not.toBe(0);
  expect(stderr).toContain(":12:21: tenants[0].plugins.sinks[0].ordering: events of one key are spread over");
});

async function configFor(port: number, ordering: string, partitions = 1): Promise<string> {
  const config = join(await tempDir(), "pulsegate.yaml");
  const sha256 = createHash("sha256").update(KEY).digest("hex");
  const secret = `whsec_${Buffer.alloc(32, 5).toString("base64")}`;
  const text = `log: { path: ./data }
http: { port: 0 }
ops: { port: 0, admin_token: ${ADMIN_TOKEN} }
tenants:
  - id: shop
    keys: [{ id: web, sha256: ${sha256} }]
    partitions: ${partitions}
    plugins:
      sinks:
        - name: webhook_sink
          id: orders
          ${ordering}
          retry: { attempts: 1000, backoff: 20ms..200ms }
          config: { url: "http://localhost:${port}/hook", secrets: ["${secret}"], body: payload, allow: [localhost] }
`;
  await writeFile(config, text);
  return config;
}

interface Lane {
  readonly cursor: number;
  readonly parked?: number;
}

async function start(config: string) {
  const running = spawnPulsegate(["start", "--config", config]);
  const [line] = await running.output(/^.*"msg":"ready".*$/m);
  const { data, ops } = JSON.parse(line) as { data: string; ops: string };
  return {
    /** The keys in turn, so that each stands between others. */
    async send(): Promise<void> {
      const lines = Array.from({ length: EACH * KEYS.length }, (_, i) => {
        const payload = { order: { id: KEYS[i % KEYS.length] }, n: Math.floor(i / KEYS.length) };
        return JSON.stringify({ event_type: "order", payload });
      });
      const headers = { "X-API-Key": KEY, "Content-Type": "application/x-ndjson" };
      const answer = await fetch(`${data}/v1/events/batch`, { method: "POST", headers, body: lines.join("\n") });
      expect(answer.status).toBe(202);
      await answer.arrayBuffer();
    },
    async lanes(): Promise<Lane[]> {
      const headers = { Authorization: `Bearer ${ADMIN_TOKEN}` };
      const answer = await fetch(`${ops}/admin/v1/lanes`, { headers });
      return ((await answer.json()) as { items: Lane[] }).items;
    },
    async kill(): Promise<void> {
      const ended = once(running.child, "exit");
      running.signalGroup("SIGKILL");
      await ended;
    },
  };
}

function payloadOf(body: Buffer): { readonly key: string; readonly n: number } {
  const { order, n } = JSON.parse(body.toString()) as { order: { id: string }; n: number };
  return { key: order.id, n };
}

/** Of the events of a key that the endpoint took, in order of arrival. */
function numbersOf(endpoint: Endpoint, key: string, from = 0): number[] {
  return endpoint.taken
    .slice(from)
    .map(({ body }) => payloadOf(body))
    .filter((payload) => payload.key === key)
    .map(({ n }) => n);
}
