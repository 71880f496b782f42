import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { contentOf, encodeParts } from "./codec.ts";
import type { Ids } from "./id.ts";
import { derivedEventId } from "./id.ts";
import type { ParseContext, ParsedEvent } from "./parse.ts";
import { parseEvent } from "./parse.ts";

let made = 0;
const ids: Ids = { eventId: () => `made-${++made}`, traceId: () => "f".repeat(32) };
const CONTEXT: ParseContext = { tenantId: "shop", source: "http", eventBytesMax: 4096, ids };

function parse(text: string | Buffer, context: Partial<ParseContext> = {}): ParsedEvent {
  return parseEvent(Buffer.from(text as string), { ...CONTEXT, ...context });
}

function partsOf(text: string, context: Partial<ParseContext> = {}) {
  const parsed = parse(text, context);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed));
  return { ...parsed.parts, payload: Buffer.from(parsed.parts.payload).toString() };
}

/** `code pointer` of each violation. */
function verdict(text: string | Buffer, context: Partial<ParseContext> = {}): string[] | "ok" {
  const parsed = parse(text, context);
  return parsed.ok ? "ok" : parsed.violations.map(({ code, pointer }) => `${code} ${pointer}`.trim());
}

describe("the flat form", () => {
  it("takes its known members and leaves all others as payload, byte for byte and in order", () => {
    const text =
      '{ "b" : 1.0, "event_type":"paid","timestamp":"2025-03-01T12:00:00+07:00", "a":12345678901234567890 ,"event_id":"e-1",' +
      '"trace_id":"abc","idempotency_key":"k 1","é":"\\u00e9\\u0000\\ud800","__proto__":{"x":[1 , 2]},"constructor":null}';
    expect(partsOf(text)).toEqual({
      eventId: "e-1",
      tenantId: "shop",
      eventType: "paid",
      occurredAt: "2025-03-01T12:00:00+07:00",
      source: "http",
      traceId: "abc",
      idempotencyKey: "k 1",
      payload:
        '{"b" : 1.0,"a":12345678901234567890,"é":"\\u00e9\\u0000\\ud800","__proto__":{"x":[1 , 2]},"constructor":null}',
    });
  });

  it("takes the founding document's example", () => {
    const text =
      '{"event_type": "user_sign_up", "user_id": "u_123", "ip": "8.8.8.8", "timestamp": "2025-03-01T12:00:00Z"}';
    expect(partsOf(text)).toMatchObject({
      eventType: "user_sign_up",
      occurredAt: "2025-03-01T12:00:00Z",
      payload: '{"user_id": "u_123","ip": "8.8.8.8"}',
    });
  });

  it("knows its members also when their names are written with escapes", () => {
    expect(partsOf('{"\\u0065vent_type":"p\\u0061id","a":1}')).toMatchObject({ eventType: "paid", payload: '{"a":1}' });
  });

  it("gives the payload that JSON.parse would, minus what is taken, for any object", () => {
    const names = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.constantFrom("event_type", "timestamp", "event_id", "trace_id"),
    );
    const taken = new Map([
      ["event_type", '"paid"'],
      ["timestamp", '"2025-03-01T12:00:00Z"'],
      ["event_id", '"e1"'],
      ["trace_id", '"t1"'],
    ]);
    fc.assert(
      fc.property(fc.uniqueArray(names), fc.jsonValue(), fc.constantFrom("", " ", "\n "), (list, value, space) => {
        fc.pre(
          !list.some((name) =>
            ["payload", "tenant_id", "received_at", "source", "occurred_at", "idempotency_key"].includes(name),
          ),
        );
        const all = list.includes("event_type") ? list : [...list, "event_type"];
        const member = (name: string) =>
          `${JSON.stringify(name)}${space}:${space}${taken.get(name) ?? JSON.stringify(value)}`;
        const text = `{${space}${all.map(member).join(`${space},${space}`)}${space}}`;
        const rest = all.filter((name) => !taken.has(name));
        expect(partsOf(text, { eventBytesMax: 1e6 }).payload).toBe(`{${rest.map(member).join(",")}}`);
      }),
    );
  });
});

describe("the structured form", () => {
  it("passes the payload on exactly as it came", () => {
    const payload = '{ "n" : 1e5 , "a":1, "a":2, "event_type":"inner", "tenant_id":"x" }';
    const text = `{"payload": ${payload} , "event_type":"paid","occurred_at":"2025-03-01T12:00:00Z"}`;
    expect(partsOf(text)).toMatchObject({ eventType: "paid", occurredAt: "2025-03-01T12:00:00Z", payload });
  });
});

describe("ids", () => {
  it("makes an id when there is neither id nor key", () => {
    const first = partsOf('{"event_type":"a"}');
    expect(first.eventId).toBe(`made-${made}`);
    expect(partsOf('{"event_type":"a"}').eventId).not.toBe(first.eventId);
  });

  it("derives the id from tenant and key, from the member or the header", () => {
    const id = derivedEventId("shop", "k1");
    expect(partsOf('{"event_type":"a","idempotency_key":"k1"}')).toMatchObject({ eventId: id, idempotencyKey: "k1" });
    expect(partsOf('{"event_type":"a"}', { idempotencyKey: "k1" })).toMatchObject({
      eventId: id,
      idempotencyKey: "k1",
    });
    expect(partsOf('{"event_type":"a"}', { idempotencyKey: "k1", tenantId: "other" }).eventId).not.toBe(id);
  });

  it("keeps a given id beside a key", () => {
    const text = '{"event_type":"a","idempotency_key":"k1","event_id":"mine"}';
    expect(partsOf(text)).toMatchObject({ eventId: "mine", idempotencyKey: "k1" });
  });

  it("takes header and member that say the same, and refuses them when they do not", () => {
    const text = '{"event_type":"a","idempotency_key":"k\\"1"}';
    expect(verdict(text, { idempotencyKey: 'k"1' })).toBe("ok");
    expect(verdict(text, { idempotencyKey: "k1" })).toEqual(["header_mismatch /idempotency_key"]);
  });

  it("prefers the event's trace id to the request's, and that to a new one", () => {
    expect(partsOf('{"event_type":"a","trace_id":"own"}', { traceId: "request" }).traceId).toBe("own");
    expect(partsOf('{"event_type":"a"}', { traceId: "request" }).traceId).toBe("request");
    expect(partsOf('{"event_type":"a"}').traceId).toBe("f".repeat(32));
  });
});

describe("violations", () => {
  it("are all named at once", () => {
    const text =
      '{"event_type":"a b","event_id":7,"occurred_at":"yesterday","trace_id":"","idempotency_key":[],"payload":[{"x":1e400}],' +
      '"tenant_id":"other","received_at":"x","source":null,"extra/~":1,"timestamp":2,"event_id":8}';
    expect(verdict(text)).toEqual([
      "invalid_format /event_type",
      "wrong_type /event_id",
      "invalid_format /trace_id",
      "wrong_type /idempotency_key",
      "invalid_format /occurred_at",
      "reserved_member /tenant_id",
      "reserved_member /received_at",
      "reserved_member /source",
      "wrong_type /payload",
      "unknown_member /extra~1~0",
      "unknown_member /timestamp",
      "duplicate_member /event_id",
      "number_out_of_range /payload/0/x",
    ]);
  });

  it("are at most 32, however many there are", () => {
    const members = Array.from({ length: 100 }, (_, i) => `"n${i}":0`).join();
    expect(verdict(`{"event_type":"a","payload":{},${members}}`)).toHaveLength(32);
  });

  it("carry the code that decides the status", () => {
    const code = (text: string | Buffer) => {
      const parsed = parse(text);
      return parsed.ok ? "ok" : parsed.code;
    };
    expect(code("{")).toBe("malformed_json");
    expect(code(Buffer.from([0x7b, 0xff]))).toBe("malformed_json");
    expect(code("[]")).toBe("invalid_event");
    expect(code("{}")).toBe("invalid_event");
    expect(code(`{"event_type":"a","x":"${"y".repeat(5000)}"}`)).toBe("event_too_large");
  });

  it("never throw, whatever bytes come, and what is taken can be written and read", () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array)),
      fc.json().map((text) => Buffer.from(text)),
    );
    const event = fc
      .record(
        { event_type: fc.constant("a"), event_id: fc.jsonValue(), payload: fc.jsonValue(), tenant_id: fc.jsonValue() },
        { requiredKeys: ["event_type"] },
      )
      .map((value) => Buffer.from(JSON.stringify(value)));
    fc.assert(
      fc.property(fc.oneof(bytes, event), (input) => {
        const parsed = parseEvent(input, CONTEXT);
        if (parsed.ok) expect(() => JSON.parse(encodeParts(parsed.parts).toString())).not.toThrow();
        else expect(parsed.violations.length).toBeGreaterThan(0);
      }),
      { numRuns: 2000 },
    );
  });
});

it("gives a repeat of the same body the same content", () => {
  const text = Buffer.from('{"a":1, "event_type":"paid" , "event_id":"e1","b":[ ]}');
  const [first, repeat] = [parseEvent(text, CONTEXT), parseEvent(text, CONTEXT)];
  if (!first.ok || !repeat.ok) throw new Error("refused");
  expect(contentOf(encodeParts(first.parts))).toEqual(contentOf(encodeParts(repeat.parts)));
});
