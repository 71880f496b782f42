import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { uuidv7 } from "uuidv7";
import type { CanonicalEvent } from "../canonical/event.ts";
import type { RouteRule } from "../ingestion/revision.ts";
import { compileGlobs } from "./globs.ts";
import { compileRoute, type RouteDecision } from "./route.ts";
import { isSampled } from "./sample.ts";

function event(change: Partial<CanonicalEvent> = {}): CanonicalEvent {
  const at = "2025-03-01T12:00:00.000Z";
  return {
    ...{ event_id: "e1", tenant_id: "a", event_type: "order_paid", occurred_at: at, received_at: at },
    ...{ source: "http", payload: {}, ...change },
  };
}

/** What becomes of an event at a sink, beside others; without a rule, it takes everything. */
function decide(rules: Readonly<Record<string, RouteRule | undefined>>, sink: string, of = event()): RouteDecision {
  const sinks = Object.entries(rules).map(([id, route]) => ({ id, route }));
  return compileRoute(sinks, sink)?.decide(of) ?? { type: "take" };
}

const reason = (rule: RouteRule, of = event()) => {
  const decision = decide({ s: rule }, "s", of);
  return decision.type === "skip" ? decision.reason : decision.type;
};

describe("a sink gets", () => {
  it("everything, without a rule", () => {
    expect(compileRoute([{ id: "s" }], "s")).toBeUndefined();
  });

  it("the event types that include names", () => {
    const include = ["order_*", "user.deleted"];
    const took = ["order_paid", "order_", "user.deleted", "user.deleted2", "an_order_x"].map((event_type) =>
      reason({ include }, event({ event_type })),
    );
    expect(took).toEqual(["take", "take", "take", "route:include", "route:include"]);
  });

  it("not those that exclude names, also where include names them", () => {
    const rule = { include: ["order_*"], exclude: ["*_test", "order_paid"] };
    expect(reason(rule, event({ event_type: "order_test" }))).toBe("route:exclude");
    expect(reason(rule)).toBe("route:exclude");
    expect(reason(rule, event({ event_type: "order_sent" }))).toBe("take");
  });

  it("what its condition is true of; the reason tells a false one from one without a result", () => {
    const when = "event.payload.amount > 100";
    const reasons = [{ amount: 101 }, { amount: 1 }, {}, { amount: "many" }].map((payload) =>
      reason({ when }, event({ payload })),
    );
    expect(reasons).toEqual(["take", "route:when", "route:missing_field", "route:wrong_type"]);
    expect(decide({ s: { when } }, "s")).toMatchObject({ detail: "there is no event.payload.amount" });
  });

  it("a failure, not a silent skip, when its condition takes too long", () => {
    const payload = { l: Array.from({ length: 5_000 }, (_, i) => i) };
    const rule = { when: "event.payload.l.all(a, event.payload.l.all(b, a + b >= 0))" };
    expect(reason(rule, event({ payload }))).toBe("fail");
    // It is in that sink's dead letters, so the fallback does not take it as well.
    expect(decide({ s: rule, rest: { fallback: true } }, "rest", event({ payload }))).toMatchObject({
      reason: "route:fallback",
    });
  });
});

describe("a sample", () => {
  it("is the same for the same event, and a larger one holds a smaller one", () => {
    fc.assert(
      fc.property(
        fc.string(),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (id, a, b) => {
          expect(isSampled(id, a)).toBe(isSampled(id, a));
          if (isSampled(id, Math.min(a, b))) expect(isSampled(id, Math.max(a, b))).toBe(true);
          expect(isSampled(id, 1)).toBe(true);
          expect(isSampled(id, 0)).toBe(false);
        },
      ),
    );
  });

  it.each([
    ["UUIDv7s", () => uuidv7()],
    ["counters", (i: number) => `order-${i}`],
    ["padded counters", (i: number) => String(i).padStart(12, "0")],
  ])("is close to its share for %s", (_name, idOf) => {
    const ids = Array.from({ length: 30_000 }, (_, i) => idOf(i));
    for (const share of [0.001, 0.01, 0.1, 0.5, 0.9]) {
      const taken = ids.filter((id) => isSampled(id, share)).length;
      // Five standard deviations.
      expect(Math.abs(taken - share * ids.length)).toBeLessThan(5 * Math.sqrt(ids.length * share * (1 - share)));
    }
  });
});

const ruleArbitrary = fc.record(
  {
    when: fc.constantFrom(
      'event.event_type == "a"',
      "event.payload.n > 1",
      "event.payload.no.such == 1",
      'event.payload.s.matches("x+")',
    ),
    include: fc.subarray(["a", "b*", "*c", "*"], { minLength: 1 }),
    exclude: fc.subarray(["a", "b*", "*c"], { minLength: 1 }),
    sampleShare: fc.constantFrom(0.1, 0.5, 1),
  },
  { requiredKeys: [] },
);
const eventArbitrary = fc
  .record({
    event_id: fc.uuid(),
    event_type: fc.constantFrom("a", "b", "bb", "c", "abc"),
    payload: fc.record({ n: fc.constantFrom(0, 1, 2, "2"), s: fc.constantFrom("x", "y", 1) }, { requiredKeys: [] }),
  })
  .map(event);

it("gives a fallback exactly what no other sink takes", () => {
  fc.assert(
    fc.property(
      fc.array(ruleArbitrary, { minLength: 1, maxLength: 4 }),
      ruleArbitrary,
      eventArbitrary,
      (rules, own, of) => {
        const all: Record<string, RouteRule> = { rest: { fallback: true }, some: { ...own, fallback: true } };
        rules.forEach((rule, i) => (all[`s${i}`] = rule));
        const taken = rules.some((_, i) => decide(all, `s${i}`, of).type === "take");
        expect(decide(all, "rest", of).type).toBe(taken ? "skip" : "take");
        const passes = decide({ own }, "own", of).type === "take";
        expect(decide(all, "some", of).type).toBe(!taken && passes ? "take" : "skip");
      },
    ),
    { numRuns: 1_000 },
  );
});

it("fits a glob as a regular expression would, and does not explode", () => {
  const part = fc.constantFrom("a", "b", "*", "**", "ab");
  fc.assert(
    fc.property(
      fc.array(part, { maxLength: 8 }),
      fc.array(fc.constantFrom("a", "b"), { maxLength: 10 }),
      (parts, letters) => {
        const glob = parts.join("");
        const pattern = new RegExp(`^${glob.replaceAll("*", ".*")}$`);
        const name = letters.join("");
        expect(compileGlobs([glob])(name)).toBe(pattern.test(name));
      },
    ),
    { numRuns: 2_000 },
  );
  expect(compileGlobs([`${"a*".repeat(40)}b`])("a".repeat(128))).toBe(false);
});
