import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Environment } from "@marcbachmann/cel-js";
import { decodeEvent, encodeEvent, encodeParts, payloadJson } from "../canonical/codec.ts";
import type { CanonicalEvent } from "../canonical/event.ts";
import { compileCondition, ConditionError } from "./condition.ts";

/** An event as the log hands it out: bytes, with a payload that nobody has parsed. */
function stored(payload: string, eventType = "order_paid"): CanonicalEvent {
  return decodeEvent(
    encodeParts({
      eventId: "e-1",
      tenantId: "shop",
      eventType,
      occurredAt: "2025-03-01T12:00:00Z",
      source: "http",
      payload: Buffer.from(payload),
    }),
  );
}

const of = (source: string, payload: string) => compileCondition(source).evaluate(stored(payload));
const matches = (source: string, payload = "{}") => of(source, payload).matched;
const faultOf = (source: string, payload = "{}") => of(source, payload).fault?.code;

function errorOf(source: string): string {
  try {
    compileCondition(source);
  } catch (error) {
    if (error instanceof ConditionError) return `${error.line}:${error.column} ${error.message}`;
  }
  return "no error";
}

const EVENT = `{"amount":120.5,"count":3,"big":9007199254740993,"paid":true,"none":null,"name":"Ada","items":[{"sku":"a","n":1},{"sku":"b"}],"tags":["x","y"],"to":{"city":"Hà Nội"},"a-b":1}`;

it.each([
  'event.event_type == "order_paid"',
  'event.event_type in ["order_paid", "order_sent"]',
  'event.event_type.startsWith("order_") && event.source == "http"',
  "event.payload.amount > 100",
  "event.payload.amount == 120.5 && event.payload.count == 3 && event.payload.count <= 3",
  "event.payload.amount * 2 == 241.0",
  "event.payload.count % 2 == 1",
  "-event.payload.count < 0",
  "event.payload.big == 9007199254740993 && event.payload.big != 9007199254740992",
  "event.payload.big > 9007199254740992 && event.payload.big + 1 == 9007199254740994",
  "event.payload.paid",
  "event.payload.none == null && event.payload.name != null",
  'event.payload.name == "Ada" && event.payload.name != 3',
  'event.payload["a-b"] == 1',
  'event.payload.to.city.endsWith("Nội") && size(event.payload.to.city) == 6',
  'event.payload.items[1].sku == "b"',
  'event.payload.items.exists(i, i.sku == "b")',
  "event.payload.items.all(i, has(i.sku))",
  "event.payload.items.exists_one(i, has(i.n))",
  "event.payload.items.filter(i, has(i.n)).size() == 1",
  'event.payload.items.map(i, i.sku) == ["a", "b"]',
  "event.payload.items.map(i, has(i.n), i.n)[0] == 1",
  'event.payload.exists(key, key == "paid")',
  '"x" in event.payload.tags && "name" in event.payload && !("z" in event.payload)',
  'event.payload.name.contains("d") && event.payload.name.lowerAscii() == "ada"',
  'event.payload.name.matches("^A.a$")',
  "has(event.payload.name) && !has(event.payload.nothing) && !has(event.trace_id)",
  'timestamp(event.occurred_at) < timestamp("2025-03-01T12:00:01Z")',
  'timestamp(event.occurred_at) + duration("1h30m") == timestamp("2025-03-01T20:30:00+07:00")',
  'timestamp(event.occurred_at) - timestamp("2025-02-28T12:00:00Z") >= duration("24h")',
  "timestamp(event.occurred_at).getHours() == 12",
  'int("3") == 3 && int(event.payload.amount) == 120 && double("0.5") < 1.0 && string(event.payload.count) == "3"',
  "event.payload.paid ? event.payload.count == 3 : event.payload.nothing == 1",
  "event.payload.nothing == 1 || event.payload.count == 3",
  "!(event.payload.nothing == 1 && event.payload.count == 4)",
  "event.payload.items.exists(event, event.sku == 'a')",
  'event.payload.name.upperAscii() == "ADA" && event.payload.to.city.lowerAscii() == "hà nội"',
  'event.payload.to.city.upperAscii() == "Hà NộI" && " x ".trim() == "x"',
])("is true: %s", (source) => {
  expect(of(source, EVENT)).toEqual({ matched: true });
});

it.each([
  ["event.payload.nothing == 1", "missing_field"],
  ["!(event.payload.nothing == 1)", "missing_field"],
  ["event.trace_id == 'x'", "missing_field"],
  ["event.payload.items[2].sku == 'a'", "missing_field"],
  ["has(event.payload.no.where)", "missing_field"],
  ["event.payload.constructor == 1", "missing_field"],
  ["event.payload.name.length > 1", "missing_field"],
  ["event.payload.name > 1", "wrong_type"],
  ["event.payload.name.startsWith(event.payload.count)", "wrong_type"],
  ["event.payload.count", "wrong_type"],
  ["event.payload.count && true", "wrong_type"],
  ["event.payload.name - 1 == 0", "wrong_type"],
  ["int(event.payload.name) == 1", "bad_value"],
  ["timestamp(event.payload.name) > timestamp(event.received_at)", "bad_value"],
  ["event.payload.count % 0 == 1", "bad_value"],
  ["int(event.payload.big) * int(event.payload.big) > 0", "bad_value"],
])("has no result, and so is not true: %s (%s)", (source, code) => {
  expect(of(source, EVENT)).toMatchObject({ matched: false, fault: { code } });
});

it("names the field that is missing", () => {
  expect(of("event.payload.a.b == 1", '{"a":{}}').fault?.message).toBe("there is no event.payload.a.b");
});

describe("an invalid condition is refused at compile time, with its place", () => {
  it.each([
    ["event.event_type == 5", "1:1 no such overload: string == int"],
    ["true &&\n  event.kind == 'x'", "2:9 No such key: kind"],
    ["payload.x == 1", '1:1 Unknown variable: payload; a condition sees "event", like event.payload.amount'],
    ["event.payload.a = 1", "1:17 Unexpected character: ="],
    ["event.event_type", "1:1 the condition is a string, not true or false"],
    ["event", "1:1 the condition is a $event, not true or false"],
    ["", "1:1 the condition is empty"],
    ['event.event_type.matches("(a")', "1:26 not a pattern of RE2: missing closing ): `(a`"],
    ['event.event_type.matches("(?=a)b")', "1:26 not a pattern of RE2: invalid or unsupported Perl syntax: `(?=`"],
    ["event.event_type.matches(event.payload.p)", "1:26 matches takes a pattern in quotes, not one that is worked out"],
    ['timestamp("yesterday") < timestamp(event.occurred_at)', /^1:1 timestamp: an RFC 3339/],
    ['duration("soon") > duration("1s")', /^1:1 duration: expected/],
    ["cel.bind(x, event.payload.a, x == 1)", /no "bind" of this form/],
    ["event.payload == {'a': 1}", /map literals/],
    ["1u == 1u", /unsigned/],
    [`${"(".repeat(60)}true${")".repeat(60)}`, /^1:33 Exceeded maxDepth/],
    [`event.event_type in [${'"a",'.repeat(600)}"b"]`, /exceeded|maximum|max/i],
  ])("%s", (source, message) => {
    if (typeof message === "string") expect(errorOf(source)).toBe(message);
    else expect(errorOf(source)).toMatch(message);
  });
});

describe("a hostile expression or payload ends at the step limit", () => {
  const numbers = Array.from({ length: 20_000 }, (_, i) => i);
  const map = Object.fromEntries(numbers.entries());
  const list = JSON.stringify({
    ...{ l: numbers, s: "a".repeat(500_000), few: numbers.slice(0, 1_000) },
    ...{ m: { ...map, x: 1 }, n: map },
  });
  it.each([
    "event.payload.l.all(a, event.payload.l.all(b, a + b >= 0))",
    "event.payload.l.exists(a, a == -1 || event.payload.l.exists(b, b == -1))",
    "event.payload.l.map(a, event.payload.l).size() == event.payload.l.filter(x, true).map(y, event.payload.l.filter(z, true)).size()",
    "event.payload.l.all(a, event.payload.s + 'x' != event.payload.s + 'y')",
    "event.payload.l.all(a, !event.payload.s.contains('b'))",
    "event.payload.l.all(a, event.payload.l == event.payload.l.filter(x, true))",
    "event.payload.l.all(a, !(-1 in event.payload.l))",
    "event.payload.few.all(a, event.payload.m != event.payload.n)",
    "event.payload.few.all(a, size(event.payload.m) > 0)",
    "event.payload.few.all(a, event.payload.m.exists(k, true))",
    "event.payload.few.all(a, event.payload.s.lowerAscii() != '')",
    "event.payload.few.all(a, size(event.payload.s) > 0)",
    "event.payload.few.all(a, event.payload.s == event.payload.s + '')",
    "event.payload.few.all(a, event.payload.s <= event.payload.s)",
    "event.payload.few.all(a, event.payload.s.startsWith(event.payload.s))",
    "event.payload.few.all(a, !event.payload.s.matches('b'))",
    "event.payload.few.all(a, size(event.payload.l + event.payload.l) > 0)",
    "[1].map(a, event.payload.s).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a)[0] == ''",
    "event.payload.s.contains('b' + event.payload.s)",
  ])("%s", (source) => {
    expect(faultOf(source, list)).toBe("too_costly");
  });

  it("does not let a regular expression backtrack", () => {
    expect(matches('event.payload.s.matches("^(a+)+$")', `{"s":"${"a".repeat(28)}!"}`)).toBe(false);
  });

  it("takes nothing else for it: a long text is searched, a long list gone through", () => {
    expect(matches("event.payload.l.exists(x, x == 19999) && !event.payload.s.contains('ab')", list)).toBe(true);
  });
});

describe("the payload", () => {
  it("is not parsed by a condition that does not look at it", () => {
    // No valid JSON: a parse would fail.
    const broken = stored("{nothing to parse}");
    expect(compileCondition('event.event_type == "order_paid" && event.source == "http"').evaluate(broken)).toEqual({
      matched: true,
    });
    expect(compileCondition("event.payload.a == 1").evaluate(broken).fault?.code).toBe("bad_value");
  });

  it("keeps its bytes when a condition looks at it", () => {
    const event = stored('{ "a" : 1.50 }');
    const bytes = encodeEvent(event);
    expect(compileCondition("event.payload.a == 1.5").matches(event)).toBe(true);
    expect(payloadJson(event).toString()).toBe('{ "a" : 1.50 }');
    expect(encodeEvent(event)).toBe(bytes);
  });

  it("may hold whatever a transform left there", () => {
    const event = { ...stored("{}"), payload: { at: new Date(0), f: () => 1, u: undefined, n: 1n } };
    Object.defineProperty(event.payload, "bad", {
      enumerable: true,
      get: () => {
        throw new Error("no");
      },
    });
    expect(compileCondition("event.payload.at == 1").evaluate(event).fault?.code).toBe("wrong_type");
    expect(compileCondition("event.payload.f == 1").evaluate(event).fault?.code).toBe("wrong_type");
    expect(compileCondition("event.payload.u == 1").evaluate(event).fault?.code).toBe("missing_field");
    expect(compileCondition("event.payload.bad == 1").evaluate(event).fault?.code).toBe("bad_value");
    expect(compileCondition("event.payload.n == 1").matches(event)).toBe(true);
  });
});

it("agrees with the CEL library's own evaluation, results and faults", () => {
  const judge = new Environment().registerVariable("event", {
    schema: { event_type: "string", payload: "map<string, dyn>" },
  });
  fc.assert(
    fc.property(expression, payloads, (source, payload) => {
      const ours = compileCondition(source).evaluate(stored(JSON.stringify(payload)));
      let theirs: unknown;
      try {
        theirs = judge.evaluate(source, { event: { event_type: "order_paid", payload } });
      } catch {
        theirs = "fault";
      }
      expect(ours.fault === undefined ? ours.matched : "fault").toBe(typeof theirs === "boolean" ? theirs : "fault");
    }),
    { numRuns: 2_000 },
  );
});

const json = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 2 },
    fc.constantFrom(null, true, false, 0, 1, 2, -1, 1.5, "", "x", "xy", "order_paid"),
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom("a", "b", "c"), tie("value"), { maxKeys: 3, noNullPrototype: true }),
  ),
})).value;
const payloads = fc.dictionary(fc.constantFrom("a", "b", "c"), json, { maxKeys: 3, noNullPrototype: true });

const expression = fc.letrec<{ operand: string; bool: string }>((tie) => ({
  operand: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom("event.payload.a", "event.payload.b", "event.payload.c", "event.payload.a.b", "event.payload.a[0]"),
    fc.constantFrom('event.payload.b["a"]', "dyn(1)", 'dyn("x")', "dyn(null)", "dyn(true)", "dyn([1, 2])", "dyn(1.5)"),
    tie("bool").map((bool) => `dyn(${bool})`),
    fc.tuple(tie("bool"), tie("operand"), tie("operand")).map(([c, a, b]) => `dyn((${c}) ? ${a} : ${b})`),
  ),
  bool: fc.oneof(
    { maxDepth: 4 },
    fc
      .tuple(tie("operand"), fc.constantFrom("==", "!=", "<", "<=", ">", ">="), tie("operand"))
      .map((parts) => `(${parts.join(" ")})`),
    fc.tuple(tie("operand"), tie("operand")).map(([a, b]) => `(${a} in ${b})`),
    fc.tuple(tie("bool"), fc.constantFrom("&&", "||"), tie("bool")).map((parts) => `(${parts.join(" ")})`),
    tie("bool").map((bool) => `!(${bool})`),
    fc.constantFrom("has(event.payload.a)", "has(event.payload.a.b)", 'event.event_type == "order_paid"'),
    fc
      .tuple(fc.constantFrom("all", "exists"), fc.constantFrom("==", "<"), tie("operand"))
      .map(([name, op, a]) => `event.payload.a.${name}(x, x ${op} ${a})`),
    tie("operand").map((a) => `event.payload.a.contains(${a})`),
  ),
})).bool;
