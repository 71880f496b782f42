import * as fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { encodeEvent } from "../core/canonical/codec.ts";
import type { CanonicalEvent, PluginContext, TransformDefinition, TransformOutcome } from "../plugins/contract.ts";
import { FakeSink } from "../tests/helpers/fake-sink.ts";
import { appendEvents, entry, lane, sinkUse, tenant, WorkerBench } from "../tests/helpers/worker-bench.ts";

const benches: WorkerBench[] = [];

afterEach(async () => {
  for (const bench of benches.splice(0)) await bench.stop();
});

type Process = (event: CanonicalEvent, ctx: PluginContext) => unknown;

function transform(name: string, process: Process): TransformDefinition {
  return {
    kind: "transform",
    name,
    version: "0.9.0",
    summary: "Does what a test says",
    create: () => ({
      name,
      version: "0.9.0",
      process: async (event, ctx) => (await process(event, ctx)) as TransformOutcome,
    }),
  };
}

const LANE = lane("a", "fake");
const RETRY = { attempts: 3, backoffMinMs: 100, backoffMaxMs: 400, timeoutMs: 1_000 };

/** A tenant whose events go through the given transforms into a sink that keeps what it gets. */
async function start(...steps: Process[]): Promise<{ bench: WorkerBench; got: CanonicalEvent[] }> {
  const sink = new FakeSink();
  const got: CanonicalEvent[] = [];
  sink.behave = (events) => {
    got.push(...events);
    return events.map(() => ({ type: "ok" }));
  };
  const transforms = steps.map((step, i) => transform(`t${i}`, step));
  const bench = await WorkerBench.start({
    plugins: [sink.definition("fake"), ...transforms],
    tenants: [
      tenant("a", [sinkUse("fake", { retry: RETRY })], {
        transforms: transforms.map(({ name }) => ({ name, config: {} })),
      }),
    ],
  });
  benches.push(bench);
  return { bench, got };
}

const ok = (event: CanonicalEvent) => ({ type: "ok", event });

describe("the transform chain", () => {
  it("applies transforms in order and delivers what they made", async () => {
    const { bench, got } = await start(
      (event) => ok({ ...event, event_type: "first", payload: { ...event.payload, a: 1 } }),
      (event) => ok({ ...event, event_type: `${event.event_type}.second` }),
    );
    await bench.log.append([entry("a", "e0", { payload: '{"big":12345678901234567890}' })]);
    await bench.until(LANE, 1, 0);
    const text = encodeEvent(got[0] as CanonicalEvent).toString();
    expect(text).toContain('"event_type":"first.second","payload":{"big":12345678901234567890,"a":1}}');
  });

  it("passes on the stored bytes when no transform touched the event", async () => {
    const { bench, got } = await start(ok, ok);
    await bench.log.append([entry("a", "e0", { payload: '{"n" : 1.50}' })]);
    await bench.until(LANE, 1, 0);
    const [stored] = await bench.log.read(LANE.stream, 0, { entries: 1, bytes: 1 });
    expect(encodeEvent(got[0] as CanonicalEvent)).toBe(stored?.bytes);
  });

  it("makes a dead letter of an event that swells, which costs memory that nobody reckoned with", async () => {
    const { bench, got } = await start((event) => ok({ ...event, payload: { a: "x".repeat(2 ** 21) } }));
    await bench.log.append([entry("a", "e0")]);
    await bench.until(LANE, 1, 0);
    expect(got).toEqual([]);
    expect(await bench.log.deadLetters({ limit: 10 })).toMatchObject([
      { stage: "transform t0", code: "plugin_error", message: expect.stringMatching(/swelled from \d+ to 20/) },
    ]);
  });

  it("undoes changes of identity, in place or in a copy", async () => {
    const forged = {
      event_id: "forged",
      tenant_id: "b",
      received_at: "1999-01-01T00:00:00.000Z",
      source: "kafka" as const,
    };
    for (const forge of [
      (event: CanonicalEvent) => ok({ ...event, ...forged }),
      (event: CanonicalEvent) => ok(Object.assign(event, forged)),
    ]) {
      const { bench, got } = await start(forge);
      await bench.log.append([entry("a", "e0")]);
      await bench.until(LANE, 1, 0);
      expect(got[0]).toMatchObject({ event_id: "e0", tenant_id: "a", source: "http", payload: { n: 1 } });
      expect(got[0]?.received_at).toMatch(/^2026-/);
    }
  });

  it("counts what it drops by transform and reason, without end of distinct reasons", async () => {
    const { bench } = await start(({ event_id }) =>
      event_id.startsWith("bot")
        ? { type: "drop", reason: "crawler" }
        : { type: "drop", reason: `user ${event_id} is unknown` },
    );
    await appendEvents(bench.log, "a", { count: 5, prefix: "bot" });
    await appendEvents(bench.log, "a", { count: 200 });
    const { filtered } = await bench.until(LANE, 205, 0);
    expect(filtered["t0: crawler"]).toBe(5);
    expect(Object.keys(filtered).length).toBeLessThanOrEqual(65);
    expect(Object.values(filtered).reduce((sum, count) => sum + count, 0)).toBe(205);
  });

  it("bounds the reason's text and keeps control characters out of it", async () => {
    const { bench } = await start(() => ({ type: "drop", reason: `a\nb${"x".repeat(10_000)}` }));
    await appendEvents(bench.log, "a", { count: 1 });
    const [reason] = Object.keys((await bench.until(LANE, 1, 0)).filtered);
    expect(reason).toMatch(/^t0: a bx+…$/);
    expect(reason?.length).toBe(120);
  });

  it("dead-letters a permanent error at once, and a retryable one after its attempts, as accepted", async () => {
    let tries = 0;
    const { bench } = await start(
      (event) => ok({ ...event, event_type: "changed" }),
      ({ event_id }) => {
        if (event_id === "e0") return { type: "error", reason: "no country", retryable: false };
        tries += 1;
        return { type: "error", reason: "no database", retryable: true };
      },
    );
    await appendEvents(bench.log, "a", { count: 2 });
    expect(await bench.until(LANE, 2, 10_000)).toMatchObject({ dead: 2 });
    const [first, second] = [await bench.log.deadLetter(LANE, 0), await bench.log.deadLetter(LANE, 1)];
    expect(first).toMatchObject({
      stage: "transform t1",
      code: "plugin_error",
      message: "no country",
      eventType: "order_paid",
    });
    expect(second?.attempts.length).toBe(3);
    expect(tries).toBe(3);
    expect(first?.plugins).toEqual({ t0: "0.9.0", t1: "0.9.0", fake: "1.2.3" });
  });

  it("goes on after a retryable error that passes", async () => {
    let failures = 2;
    const { bench, got } = await start((event, ctx) =>
      failures-- > 0
        ? { type: "error", reason: "not yet", retryable: true }
        : ok({ ...event, payload: { attempt: ctx.attempt } }),
    );
    await appendEvents(bench.log, "a", { count: 1 });
    expect(await bench.until(LANE, 1, 10_000)).toMatchObject({ delivered: 1 });
    expect(got[0]?.payload).toEqual({ attempt: 3 });
  });

  it("makes an event that a transform spoils a plugin error with its name and version", async () => {
    const cyclic: Record<string, unknown> = {};
    cyclic.self = cyclic;
    const spoilt: ((event: CanonicalEvent) => unknown)[] = [
      () => undefined,
      () => 7,
      () => ({ type: "ok" }),
      () => ({ type: "ok", event: null }),
      () => ({ type: "ok", event: "text" }),
      () => ({ type: "maybe" }),
      (event) => ok({ ...event, payload: [] as unknown as Record<string, unknown> }),
      (event) => ok({ ...event, payload: cyclic }),
      (event) => ok({ ...event, payload: { n: 1n } }),
      (event) => ok(Object.assign(event, { payload: "text" })),
      (event) => ok({ ...event, payload: { toJSON: () => 5 } }),
      (event) => ok({ ...event, event_type: "no spaces" }),
      (event) => ok({ ...event, occurred_at: "yesterday" }),
      // What Date.parse takes and the door does not.
      (event) => ok({ ...event, occurred_at: "March 7" }),
      (event) => ok({ ...event, occurred_at: "2025-03-01 12:00 (é)" }),
      (event) => ok({ ...event, payload: undefined as unknown as Record<string, unknown> }),
      (event) => ok({ ...event, trace_id: 'a"b' }),
      () => {
        throw new Error("boom");
      },
      () => Promise.reject(undefined),
    ];
    for (const spoil of spoilt) {
      const { bench } = await start((event) => (event.event_id === "e1" ? spoil(event) : ok(event)));
      await appendEvents(bench.log, "a", { count: 3 });
      expect(await bench.until(LANE, 3, 0)).toMatchObject({ delivered: 2, dead: 1 });
      const letter = await bench.log.deadLetter(LANE, 1);
      expect(letter).toMatchObject({ stage: "transform t0", code: "plugin_error" });
      expect(letter?.message).toContain("t0@0.9.0");
    }
  });

  it("tries an event again that was not through at the deadline; its neighbours go on", async () => {
    let hangs = 1;
    const { bench, got } = await start((event) =>
      event.event_id === "e1" && hangs-- > 0 ? new Promise(() => undefined) : ok(event),
    );
    await appendEvents(bench.log, "a", { count: 3 });
    expect(await bench.until(LANE, 3, 5_000)).toMatchObject({ delivered: 3 });
    expect(got.map(({ event_id }) => event_id)).toEqual(["e0", "e2", "e1"]);
  });

  it("never crashes and always balances, whatever a transform answers", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.anything(), { minLength: 1, maxLength: 20 }), async (answers) => {
        const { bench } = await start(({ event_id }) => answers[Number(event_id.slice(1))]);
        await appendEvents(bench.log, "a", { count: answers.length });
        const state = await bench.until(LANE, answers.length, 60_000);
        const filtered = Object.values(state.filtered).reduce((sum, count) => sum + count, 0);
        expect(state.delivered + state.dead + filtered).toBe(answers.length);
        await bench.stop();
      }),
      { numRuns: 60 },
    );
  });
});
