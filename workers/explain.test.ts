import * as fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { encodeParts, stampReceivedAt } from "../core/canonical/codec.ts";
import type { RouteRule, TenantConfig } from "../core/ingestion/revision.ts";
import { systemClock } from "../observability/system-clock.ts";
import type { CanonicalEvent, PluginDefinition, TransformDefinition, TransformOutcome } from "../plugins/contract.ts";
import { FakeSink } from "../tests/helpers/fake-sink.ts";
import { lane, silentLogger, sinkUse, tenant, WorkerBench } from "../tests/helpers/worker-bench.ts";
import { changesBetween } from "./event-diff.ts";
import { explainEvent, type Explanation } from "./explain.ts";
import { Timers } from "./timers.ts";

const benches: WorkerBench[] = [];

afterEach(async () => {
  for (const bench of benches.splice(0)) await bench.stop();
});

type Process = (event: CanonicalEvent) => TransformOutcome;

function transform(name: string, process: Process, init?: () => Promise<void>): TransformDefinition {
  const plugin = { name, version: "1.0.0", process: async (event: CanonicalEvent) => process(event) };
  const create = () => (init === undefined ? plugin : { ...plugin, init });
  return { kind: "transform", name, version: "1.0.0", summary: "", create };
}

const TRANSFORMS = [
  transform("shout", (event) => ({ type: "ok", event: { ...event, event_type: event.event_type.toUpperCase() } })),
  transform("mark", (event) => ({
    type: "ok",
    event: { ...event, payload: { ...event.payload, n: 2, marked: true } },
  })),
  transform("drop_c", (event) =>
    event.event_type.toLowerCase() === "c" ? { type: "drop", reason: "c" } : { type: "ok", event },
  ),
  transform("fail_b", (event) => {
    if (event.event_type.toLowerCase() === "b") throw new Error("no b");
    return { type: "ok", event };
  }),
  transform(
    "never",
    (event) => ({ type: "ok", event }),
    () => Promise.reject(new Error("no database")),
  ),
];

const uses = (names: readonly string[]) => names.map((name) => ({ name, config: {} }));

function bytesOf(eventType: string, payload: string): Buffer {
  const parts = { eventId: "e1", tenantId: "a", eventType, traceId: "t1", source: "http" as const };
  const bytes = encodeParts({ ...parts, payload: Buffer.from(payload) });
  stampReceivedAt(bytes, Date.UTC(2026, 0, 1));
  return bytes;
}

async function explain(config: TenantConfig, bytes: Buffer): Promise<Explanation> {
  const timers = new Timers(systemClock);
  const pluginMetrics = () => ({ count: () => undefined, observe: () => undefined });
  const findPlugin = (name: string): PluginDefinition | undefined => TRANSFORMS.find((one) => one.name === name);
  const deps = { timers, random: () => 0, logger: silentLogger, pluginMetrics, flights: undefined, findPlugin };
  try {
    return await explainEvent({ deps, tenant: config, bytes });
  } finally {
    timers.close();
  }
}

describe("an explanation", () => {
  it("tells what each transform changed, and which sink gets what, and why", async () => {
    const sinks = [
      sinkUse("fake", { id: "all" }),
      sinkUse("fake", {
        id: "big",
        route: { when: "event.payload.n > 1", sampleShare: 1 },
        transforms: uses(["shout"]),
      }),
      sinkUse("fake", { id: "other", route: { include: ["other"] } }),
    ];
    const { transforms, sinks: told } = await explain(
      tenant("a", sinks, { transforms: uses(["mark"]) }),
      bytesOf("paid", '{"n":1,"id":12345678901234567890}'),
    );
    expect(transforms).toEqual([
      {
        plugin: "mark",
        version: "1.0.0",
        outcome: "ok",
        changes: [
          { path: "payload.n", before: 1, after: 2 },
          { path: "payload.marked", after: true },
        ],
      },
    ]);
    expect(told).toMatchObject([
      { id: "all", outcome: "delivered", why: "it takes every event", transforms: [] },
      {
        id: "big",
        outcome: "delivered",
        why: "it is among the sample of 100%; true: event.payload.n > 1",
        transforms: [{ plugin: "shout", changes: [{ path: "event_type", before: "paid", after: "PAID" }] }],
      },
      { id: "other", outcome: "filtered", reason: "route:include", why: "include does not name its event type" },
    ]);
    expect(JSON.stringify(told[0]?.event?.payload)).toBe('{"n":2,"id":12345678901234567890,"marked":true}');
  });

  it("ends with the transform that dropped or failed the event", async () => {
    const config = tenant("a", [sinkUse("fake")], { transforms: uses(["drop_c", "fail_b", "mark"]) });
    expect(await explain(config, bytesOf("c", "{}"))).toMatchObject({
      transforms: [{ plugin: "drop_c", outcome: "dropped", reason: "drop_c: c" }],
      sinks: [{ outcome: "filtered", reason: "drop_c: c", why: "a transform dropped the event", transforms: [] }],
    });
    const failed = await explain(config, bytesOf("b", "{}"));
    expect(failed.transforms.map(({ outcome }) => outcome)).toEqual(["ok", "failed"]);
    expect(failed.sinks).toMatchObject([{ outcome: "failed", reason: "transform fail_b: plugin_error" }]);
  });

  it("fails with the reason when a transform does not start", async () => {
    const config = tenant("a", [sinkUse("fake")], { transforms: uses(["never"]) });
    await expect(explain(config, bytesOf("a", "{}"))).rejects.toThrow("never@1.0.0 did not start: no database");
  });
});

it("lists changes in lists, of kinds, of raw numbers, and none where there is none", () => {
  const before = JSON.parse('{"a":[1,{"b":2}],"c":{"d":null},"e":"x"}') as object;
  const after = JSON.parse('{"a":[1,{"b":3},4],"c":[],"e":"x","__proto__":{"f":1}}') as object;
  expect(changesBetween(before, after)).toEqual([
    { path: "a[1].b", before: 2, after: 3 },
    { path: "a[2]", after: 4 },
    { path: "c", before: { d: null }, after: [] },
    { path: "__proto__", after: { f: 1 } },
  ]);
  expect(changesBetween(before, structuredClone(before))).toEqual([]);
});

const rules: fc.Arbitrary<RouteRule> = fc.record(
  {
    when: fc.constantFrom("event.payload.n > 1", 'event.event_type == "A"', "event.payload.n % 2 == 0"),
    include: fc.subarray(["A", "B*", "c"], { minLength: 1 }),
    exclude: fc.subarray(["A", "b"], { minLength: 1 }),
    sampleShare: fc.constantFrom(0.3, 0.9),
    fallback: fc.boolean(),
  },
  { requiredKeys: [] },
);
const transforms = fc.subarray(["shout", "mark", "drop_c", "fail_b"]);

it("says what the workers do", async () => {
  await fc.assert(
    fc.asyncProperty(
      transforms,
      fc.array(fc.tuple(rules, transforms), { minLength: 1, maxLength: 4 }),
      fc.constantFrom("a", "A", "b", "c"),
      fc.constantFrom("{}", '{"n":1}', '{"n":3}', '{"n":"x"}'),
      async (shared, routed, eventType, payload) => {
        const sinks = routed.map(([route, own], i) => sinkUse("fake", { id: `s${i}`, route, transforms: uses(own) }));
        const config = tenant("a", sinks, { transforms: uses(shared) });
        const { sinks: told } = await explain(config, bytesOf(eventType, payload));
        expect(told.map(outcomeOf)).toEqual(await delivered(config, bytesOf(eventType, payload)));
      },
    ),
    { numRuns: 60 },
  );
});

type Outcome = { readonly reason: string } | { readonly event: string };

function outcomeOf({ reason, event }: Explanation["sinks"][number]): Outcome {
  if (event === undefined) return { reason: String(reason) };
  return { event: JSON.stringify([event.event_type, event.payload]) };
}

/** What the workers made of the event in each sink's lane. */
async function delivered(config: TenantConfig, bytes: Buffer): Promise<Outcome[]> {
  const got = new Map<string, CanonicalEvent>();
  const ids = config.sinks.map(({ id }) => id);
  const fake = new FakeSink().definition("fake");
  const create = () => {
    const id = ids.shift() as string;
    const sink = new FakeSink();
    sink.behave = (events) => events.map((event) => (got.set(id, event), { type: "ok" }));
    return sink.definition("fake").create();
  };
  const bench = await WorkerBench.start({ plugins: [{ ...fake, create }, ...TRANSFORMS], tenants: [config] });
  benches.push(bench);
  await bench.log.append([{ stream: { tenantId: "a", partition: 0 }, eventId: "e1", bytes }]);
  const outcomes: Outcome[] = [];
  for (const { id } of config.sinks) {
    const state = await bench.until(lane("a", id), 1, 10_000);
    const event = got.get(id);
    const letter = await bench.log.deadLetter(lane("a", id), 0);
    if (event !== undefined) outcomes.push({ event: JSON.stringify([event.event_type, event.payload]) });
    else
      outcomes.push({
        reason: letter === undefined ? String(Object.keys(state.filtered)) : `${letter.stage}: ${letter.code}`,
      });
  }
  await bench.stop();
  return outcomes;
}
