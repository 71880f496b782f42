import { expect, test } from "vitest";
import { parseConfig } from "../../../config/parse.ts";
import { formatProblem } from "../../../config/problems.ts";
import { decodeEvent, encodeEvent, encodeParts, payloadOf, stampReceivedAt } from "../../../core/canonical/codec.ts";
import { transformConformance } from "../../../tests/conformance/transform.ts";
import type { PluginContext } from "../../contract.ts";
import plugin from "./index.ts";

transformConformance({
  definition: plugin,
  golden: new URL("./golden/", import.meta.url),
  configs: [
    {
      rules: [{ when: "event.payload.email == event.payload.user", route: "x", event_type: "y" }],
      otherwise: { route: "z" },
    },
    {
      mode: "all",
      field: "__proto__.route",
      rules: [
        { when: "has(event.payload.items)", route: "x" },
        { when: "true", route: "y" },
      ],
    },
    { field: "items[0]", rules: [{ when: "event.payload.items[0] > 0", route: "x" }] },
    { rules: [{ when: 'event.event_type == "order_paid"', event_type: "paid" }] },
  ],
});

function context(counted: string[] = []): PluginContext {
  const logger = { debug() {}, info() {}, warn() {}, error() {} };
  const metrics = { count: (name: string) => counted.push(name), observe() {} };
  return { tenantId: "t", logger, metrics, attempt: 1, signal: new AbortController().signal };
}

function stored(payload: string): Buffer {
  const parts = { eventId: "e", tenantId: "t", eventType: "order_paid", source: "http" } as const;
  const bytes = encodeParts({ ...parts, payload: Buffer.from(payload) });
  stampReceivedAt(bytes, 0);
  return bytes;
}

test("changes an event's type without a look at its payload, whose bytes stay as they came", async () => {
  const transform = plugin.create();
  await transform.init?.(
    plugin.config.parse({ rules: [{ when: 'event.event_type.startsWith("order_")', event_type: "order" }] }),
  );
  const outcome = await transform.process(decodeEvent(stored('{ "not JSON": at all }')), context());
  if (outcome.type !== "ok") throw new Error(outcome.reason);
  const bytes = encodeEvent(outcome.event);
  expect(payloadOf(bytes).toString()).toBe('{ "not JSON": at all }');
  expect(decodeEvent(bytes).event_type).toBe("order");
});

test("counts a condition without a result, and takes it for one that does not fit", async () => {
  const counted: string[] = [];
  const transform = plugin.create();
  const rules = [
    { when: "event.payload.amount > 1", route: "a" },
    { when: "true", route: "b" },
  ];
  await transform.init?.(plugin.config.parse({ rules }));
  const outcome = await transform.process(decodeEvent(stored('{"amount":"x"}')), context(counted));
  expect(outcome).toMatchObject({ type: "ok", event: { payload: { route: "b" } } });
  expect(counted).toEqual(["condition_faults_total"]);
});

test("a wrong condition is a configuration error at its line and column", () => {
  const text = `version: 1
tenants:
  - id: t
    plugins:
      transform:
        - name: business_router
          config:
            rules:
              - when: event.payload.amount >
                route: a
              - when: |
                  event.event_type == "x"
                    && evnt.payload.n > 1
                route: b
              - when: "true"
      sinks: []
`;
  const result = parseConfig({ text, file: "gate.yaml", plugins: [plugin], env: {}, mode: "dev" });
  expect(result.ok ? [] : result.problems.map(formatProblem)).toEqual([
    expect.stringMatching(/^gate\.yaml:9:\d+: .*rules\[0\]\.when: not a condition: /),
    expect.stringMatching(/^gate\.yaml:13:24: .*rules\[1\]\.when: not a condition: .*evnt/),
    expect.stringMatching(/^gate\.yaml:15:17: .*rules\[2\]: needs a "route"/),
  ]);
});
