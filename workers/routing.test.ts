import * as fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { encodeEvent, encodeParts } from "../core/canonical/codec.ts";
import type { AppendEntry } from "../core/ingestion/log.ts";
import type { RouteRule, SinkUse, TenantConfig } from "../core/ingestion/revision.ts";
import type { CanonicalEvent, TransformDefinition, TransformOutcome } from "../plugins/contract.ts";
import { FakeSink } from "../tests/helpers/fake-sink.ts";
import { lane, revision, sinkUse, tenant, WorkerBench } from "../tests/helpers/worker-bench.ts";
import { SimClock } from "../tests/helpers/sim-clock.ts";
import { Calls } from "./call.ts";
import { runChain, type Stages } from "./chain.ts";
import { Pace } from "./pace.ts";
import { Timers } from "./timers.ts";

const benches: WorkerBench[] = [];

afterEach(async () => {
  for (const bench of benches.splice(0)) await bench.stop();
});

function transform(name: string, change: (event: CanonicalEvent) => CanonicalEvent | string): TransformDefinition {
  const process = async (event: CanonicalEvent): Promise<TransformOutcome> => {
    const changed = change(event);
    return typeof changed === "string" ? { type: "drop", reason: changed } : { type: "ok", event: changed };
  };
  return {
    kind: "transform",
    name,
    version: "1.0.0",
    summary: "",
    create: () => ({ name, version: "1.0.0", process }),
  };
}

const TRANSFORMS = [
  transform("shout", (event) => ({ ...event, event_type: event.event_type.toUpperCase() })),
  transform("chatty", (event) => (event.event_type === "drop" ? event.event_id : event)),
  transform("mark", (event) => ({ ...event, payload: { ...event.payload, marked: true } })),
];

function event(eventId: string, eventType: string, payload = "{}"): AppendEntry {
  const bytes = encodeParts({ eventId, tenantId: "a", eventType, source: "http", payload: Buffer.from(payload) });
  return { stream: { tenantId: "a", partition: 0 }, eventId, bytes };
}

type Routed = Pick<SinkUse, "route" | "transforms">;

interface Start {
  readonly sinks: Readonly<Record<string, Routed>>;
  readonly transforms?: readonly string[];
}

const uses = (names: readonly string[] = []) => names.map((name) => ({ name, config: {} }));

function tenantOf({ sinks, transforms }: Start): TenantConfig {
  const list = Object.entries(sinks).map(([id, routed]) => sinkUse("fake", { id, ...routed }));
  return tenant("a", list, { transforms: uses(transforms) });
}

/** A tenant with routed sinks; what each sink got, by its id. */
async function start(options: Start): Promise<{ bench: WorkerBench; got: Record<string, CanonicalEvent[]> }> {
  const got: Record<string, CanonicalEvent[]> = {};
  const definition = new FakeSink().definition("fake");
  const ids = Object.keys(options.sinks);
  const recording = {
    ...definition,
    create: () => {
      const events: CanonicalEvent[] = [];
      got[ids[Object.keys(got).length] as string] = events;
      const sink = new FakeSink();
      sink.behave = (batch) => batch.map((one) => (events.push(one), { type: "ok" }));
      return sink.definition("fake").create();
    },
  };
  const bench = await WorkerBench.start({ plugins: [recording, ...TRANSFORMS], tenants: [tenantOf(options)] });
  benches.push(bench);
  return { bench, got };
}

const types = (events: readonly CanonicalEvent[] = []) => events.map(({ event_type }) => event_type);

describe("a routed sink", () => {
  it("is asked after the shared transforms and before its own", async () => {
    const { bench, got } = await start({
      transforms: ["shout"],
      sinks: {
        marked: {
          route: { when: 'event.event_type == "PAID" && !has(event.payload.marked)' },
          transforms: uses(["mark"]),
        },
        plain: {},
      },
    });
    await bench.log.append([event("e0", "paid"), event("e1", "sent")]);
    await bench.until(lane("a", "marked"), 2, 1_000);
    await bench.until(lane("a", "plain"), 2, 1_000);
    expect(got["marked"]?.map(({ payload }) => payload)).toEqual([{ marked: true }]);
    expect(types(got["plain"])).toEqual(["PAID", "SENT"]);
    expect(got["plain"]?.map(({ payload }) => payload)).toEqual([{}, {}]);
  });

  it("keeps the rules' own reasons apart, however many a transform has", async () => {
    const { bench } = await start({ transforms: ["chatty"], sinks: { s: { route: { when: "event.payload.n > 1" } } } });
    await bench.log.append(Array.from({ length: 100 }, (_, i) => event(`e${i}`, "drop")));
    await bench.until(lane("a", "s"), 100, 1_000);
    await bench.log.append([event("e", "paid", '{"n":1}')]);
    const { filtered } = await bench.until(lane("a", "s"), 101, 1_000);
    expect(filtered).toMatchObject({ "route:when": 1, "chatty: other": expect.any(Number) });
  });

  it("counts what it does not get by reason, in its ledger and in the settlement", async () => {
    const route: RouteRule = { exclude: ["test.*"], when: "event.payload.n > 1" };
    const { bench, got } = await start({ sinks: { s: { route } } });
    const payloads = ['{"n":2}', '{"n":1}', "{}", '{"n":"x"}'];
    await bench.log.append([event("e9", "test.x"), ...payloads.map((payload, i) => event(`e${i}`, "paid", payload))]);
    const state = await bench.until(lane("a", "s"), 5, 1_000);
    expect(state).toMatchObject({
      delivered: 1,
      dead: 0,
      filtered: { "route:exclude": 1, "route:when": 1, "route:missing_field": 1, "route:wrong_type": 1 },
    });
    expect(types(got["s"])).toEqual(["paid"]);
    expect((await bench.log.settlement(lane("a", "s"), 3))?.exceptions).toContainEqual({
      from: 3,
      to: 4,
      outcome: "filtered",
      reason: "route:missing_field",
    });
  });

  it("has an event as a dead letter when its condition takes too long on it", async () => {
    const route: RouteRule = { when: "event.payload.l.all(a, event.payload.l.all(b, a + b >= 0))" };
    const { bench } = await start({ sinks: { s: { route }, rest: { route: { fallback: true } } } });
    const hostile = JSON.stringify({ l: Array.from({ length: 3_000 }, (_, i) => i) });
    await bench.log.append([event("e0", "paid", hostile), event("e1", "paid", '{"l":[1]}')]);
    expect(await bench.until(lane("a", "s"), 2, 1_000)).toMatchObject({ delivered: 1, dead: 1 });
    expect(await bench.log.deadLetter(lane("a", "s"), 0)).toMatchObject({ stage: "route", code: "route_too_costly" });
    expect(await bench.until(lane("a", "rest"), 2, 1_000)).toMatchObject({ filtered: { "route:fallback": 2 } });
  });

  it("gets the stored bytes, also when its condition looked at the payload", async () => {
    const { bench, got } = await start({ sinks: { s: { route: { when: "event.payload.n == 1.5" } } } });
    await bench.log.append([event("e0", "paid", '{ "n" : 1.50 }')]);
    await bench.until(lane("a", "s"), 1, 1_000);
    const [stored] = await bench.log.read({ tenantId: "a", partition: 0 }, 0, { entries: 1, bytes: 1 });
    expect(encodeEvent(got["s"]?.[0] as CanonicalEvent)).toBe(stored?.bytes);
  });

  it("goes on through any number of events that are not for it", async () => {
    const { bench } = await start({ sinks: { s: { route: { include: ["rare"] } } } });
    for (let i = 0; i < 30; i++) {
      await bench.log.append(Array.from({ length: 200 }, (_, j) => event(`e${i}.${j}`, "usual")));
    }
    await bench.log.append([event("r", "rare")]);
    const state = await bench.until(lane("a", "s"), 6_001, 5_000);
    expect(state).toMatchObject({ delivered: 1, filtered: { "route:include": 6_000 } });
  });
});

it("runs a fallback by its siblings' new rules once they change", async () => {
  const before = { sinks: { s: { route: { include: ["a"] } }, rest: { route: { fallback: true } } } };
  const after = { sinks: { s: { route: { include: ["b"] } }, rest: { route: { fallback: true } } } };
  const { bench, got } = await start(before);
  await bench.log.append([event("e0", "a"), event("e1", "b")]);
  await bench.until(lane("a", "rest"), 2, 1_000);
  await bench.finish(bench.worker.apply(revision(2, [tenantOf(after)])));
  await bench.log.append([event("e2", "a"), event("e3", "b")]);
  const state = await bench.until(lane("a", "rest"), 4, 1_000);
  expect(state).toMatchObject({ delivered: 2, filtered: { "route:fallback": 2 } });
  expect(types(got["rest"])).toEqual(["b", "a"]);
});

it("refuses a revision with a condition that is none, and goes on with the one before", async () => {
  const { bench } = await start({ sinks: { s: {} } });
  const bad = revision(2, [tenantOf({ sinks: { s: { route: { when: "event.nothing" } } } })]);
  await expect(bench.finish(bench.worker.apply(bad))).rejects.toThrow("No such key: nothing");
  await bench.log.append([event("e0", "a")]);
  expect(await bench.until(lane("a", "s"), 1, 1_000)).toMatchObject({ delivered: 1 });
});

it("has each event of a tenant in exactly one of two sinks when one is the other's fallback", async () => {
  const rules = fc.record(
    {
      when: fc.constantFrom("event.payload.n > 1", 'event.event_type == "A"', "event.payload.n % 2 == 0"),
      include: fc.subarray(["A", "B*", "*C"], { minLength: 1 }),
      sampleShare: fc.constantFrom(0.3, 0.7),
    },
    { requiredKeys: [] },
  );
  const events = fc.array(
    fc.tuple(fc.constantFrom("a", "b", "bb", "c"), fc.constantFrom("{}", '{"n":1}', '{"n":2}', '{"n":"x"}')),
    { minLength: 1, maxLength: 20 },
  );
  await fc.assert(
    fc.asyncProperty(rules, events, async (route, list) => {
      const sinks = { s: { route }, rest: { route: { fallback: true }, transforms: uses(["mark"]) } };
      const { bench, got } = await start({ transforms: ["shout"], sinks });
      await bench.log.append(list.map(([type, payload], i) => event(`e${i}`, type, payload)));
      for (const id of ["s", "rest"]) await bench.until(lane("a", id), list.length, 5_000);
      const ids = [...(got["s"] ?? []), ...(got["rest"] ?? [])].map(({ event_id }) => event_id);
      expect(ids.sort()).toEqual(list.map((_, i) => `e${i}`).sort());
      await bench.stop();
    }),
    { numRuns: 40 },
  );
});

it("remembers the crashes of one plugin in two sinks' own chains apart", async () => {
  const module = { source: "./mine.ts", url: "file:///nowhere/mine.ts", digest: "", version: "1.0.0" };
  const own = { transforms: [{ name: "mine", config: {}, module }] };
  const keys: string[] = [];
  const flights = (key: string) => {
    keys.push(key);
    return { load: () => ({ flying: [], crashes: new Map() }), save: () => undefined, close: () => undefined };
  };
  const tenants = [tenantOf({ sinks: { s1: own, s2: own } })];
  benches.push(await WorkerBench.start({ plugins: [new FakeSink().definition("fake")], tenants, flights }));
  expect(new Set(keys).size).toBe(2);
});

const skipped = (detail: string) => ({ type: "skip", reason: "route:when", detail }) as const;

describe("a worker's pace", () => {
  const PIECE_MS = 4;

  /** Five events through stages of which each piece of work takes 4 ms; when each was done. */
  function paced(stagesOf: (work: () => void) => Stages) {
    let nowMs = 0;
    const slept = Promise.withResolvers<void>();
    const done: number[] = [];
    const pace = new Pace({ now: () => nowMs, monotonic: () => nowMs, sleep: () => slept.promise });
    const stages = stagesOf(() => done.push((nowMs += PIECE_MS)));
    const inputs = Array.from({ length: 5 }, (_, i) => ({ bytes: event(`e${i}`, "a").bytes, attempt: 1 }));
    const calls = new Calls(new Timers(new SimClock()));
    return { done, wake: slept.resolve, all: runChain({ stages, inputs, calls, timeoutMs: 1_000, pace }) };
  }

  it("lets the event loop turn between costly conditions", async () => {
    const { done, wake, all } = paced((work) => {
      const route = { decide: ({ event_id }: CanonicalEvent) => (work(), skipped(event_id)) };
      return { shared: [], route, branch: [] };
    });
    expect(done).toEqual([4, 8, 12]);
    wake();
    expect((await all).map((prepared) => prepared?.type)).toEqual(Array.from({ length: 5 }, () => "filtered"));
    expect(done).toEqual([4, 8, 12, 16, 20]);
  });

  it("lets the event loop turn between costly transforms", async () => {
    const { done, wake, all } = paced((work) => {
      const instance = {
        name: "slow",
        version: "1.0.0",
        process: async () => {
          work();
          return { type: "drop", reason: "r" } as const;
        },
      };
      const host = { name: "slow", instance, context: () => ({}) } as unknown as Stages["shared"][number];
      return { shared: [host], route: undefined, branch: [] };
    });
    expect(done).toEqual([4, 8, 12]);
    wake();
    expect((await all).map((prepared) => prepared?.type)).toEqual(Array.from({ length: 5 }, () => "filtered"));
    expect(done).toEqual([4, 8, 12, 16, 20]);
  });
});
