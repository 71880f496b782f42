import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { EventParts } from "./codec.ts";
import {
  contentOf,
  decodeEvent,
  encodeEvent,
  encodeParts,
  payloadJson,
  payloadOf,
  receivedAtOf,
  stampReceivedAt,
  timestamp,
} from "./codec.ts";

const NOW = Date.parse("2025-03-01T12:00:00.123Z");

function stored(parts: Partial<Omit<EventParts, "payload">> & { payload?: string } = {}): Buffer {
  const { payload = "{}", ...rest } = parts;
  const bytes = encodeParts({
    eventId: "e1",
    tenantId: "t",
    eventType: "paid",
    source: "http",
    ...rest,
    payload: Buffer.from(payload),
  });
  stampReceivedAt(bytes, NOW);
  return bytes;
}

const ascii = (pattern: RegExp) => fc.stringMatching(pattern);
const arbitraryParts = fc.record({
  eventId: ascii(/^[\x21-\x7e]{1,40}$/),
  tenantId: ascii(/^[A-Za-z0-9_.:-]{1,20}$/),
  eventType: ascii(/^[A-Za-z0-9_.:-]{1,20}$/),
  occurredAt: fc.option(fc.constant("2024-02-29t00:00:00.5+01:00"), { nil: undefined }),
  source: fc.constantFrom("http", "grpc", "kafka"),
  traceId: fc.option(ascii(/^[A-Za-z0-9_.:-]{1,20}$/), { nil: undefined }),
  idempotencyKey: fc.option(ascii(/^[\x20-\x7e]{1,40}$/), { nil: undefined }),
  payload: fc.dictionary(fc.string({ unit: "binary" }), fc.jsonValue()).map((payload) => JSON.stringify(payload)),
});

describe("canonical bytes", () => {
  it("are JSON in a fixed order with the payload last and untouched", () => {
    const payload = '{ "b":1.0, "a":12345678901234567890, "é":"\\u00e9" }';
    const bytes = stored({ occurredAt: "2025-01-01T00:00:00+07:00", traceId: "abc", idempotencyKey: 'k"1', payload });
    expect(bytes.toString()).toBe(
      '{"received_at":"2025-03-01T12:00:00.123Z","occurred_at":"2025-01-01T00:00:00+07:00","event_id":"e1","tenant_id":"t",' +
        `"source":"http","trace_id":"abc","idempotency_key":"k\\"1","event_type":"paid","payload":${payload}}`,
    );
    expect(payloadOf(bytes).toString()).toBe(payload);
    expect(receivedAtOf(bytes)).toBe(NOW);
  });

  it("give every event back as it went in, whatever its strings and payload hold", () => {
    fc.assert(
      fc.property(arbitraryParts, (parts) => {
        const bytes = stored(parts);
        const event = decodeEvent(bytes);
        expect(JSON.parse(bytes.toString())).toEqual(JSON.parse(JSON.stringify(event)));
        expect(event.event_id).toBe(parts.eventId);
        expect(event.tenant_id).toBe(parts.tenantId);
        expect(event.event_type).toBe(parts.eventType);
        expect(event.trace_id).toBe(parts.traceId);
        expect(event.idempotency_key).toBe(parts.idempotencyKey);
        expect(event.occurred_at).toBe(parts.occurredAt ?? timestamp(NOW));
        expect(payloadOf(bytes).toString()).toBe(parts.payload);
        expect(encodeEvent(decodeEvent(bytes))).toBe(bytes);
      }),
    );
  });

  it("are what they are alone, whatever was encoded before", () => {
    const alike = fc.record({
      eventId: fc.oneof(ascii(/^[a-z]{3}$/), fc.constantFrom('a"b', "a\\b", "longer")),
      tenantId: fc.constantFrom("t", "t", "u"),
      eventType: fc.constantFrom("paid", "paid", "sent", "refused"),
      occurredAt: fc.constantFrom(
        undefined,
        "2025-01-01T00:00:00.000Z",
        "2025-01-01T00:00:00Z",
        "2026-02-02T00:00:00Z",
      ),
      source: fc.constantFrom<EventParts["source"]>("http", "http", "grpc"),
      traceId: fc.constantFrom(undefined, "0123", "abcd", "longer"),
      idempotencyKey: fc.constantFrom(undefined, undefined, undefined, "k"),
    });
    fc.assert(
      fc.property(fc.array(alike, { minLength: 2, maxLength: 20 }), (all) => {
        for (const parts of all) {
          const bytes = encodeParts({ ...parts, payload: Buffer.from("{}") });
          const { eventId, tenantId, eventType, occurredAt = "0000-00-00T00:00:00.000Z", source } = parts;
          const head = {
            received_at: "0000-00-00T00:00:00.000Z",
            occurred_at: occurredAt,
            event_id: eventId,
            tenant_id: tenantId,
            source,
            trace_id: parts.traceId,
            idempotency_key: parts.idempotencyKey,
            event_type: eventType,
            payload: {},
          };
          expect(bytes.toString()).toBe(JSON.stringify(head));
          // The log stamps what it was given: the next one must not show it.
          stampReceivedAt(bytes, NOW);
        }
      }),
    );
  });

  it("have their own trace id, although the one before last had it too", () => {
    const traceOf = (traceId: string) => decodeEvent(stored({ traceId })).trace_id;
    expect(["0123", "abcd", "0123", "0123"].map(traceOf)).toEqual(["0123", "abcd", "0123", "0123"]);
  });

  it("share their content with a repeat, whoever sent it and whenever", () => {
    const first = stored({ payload: '{"a":1}', traceId: "x", occurredAt: "2025-01-01T00:00:00Z" });
    const repeat = stored({ payload: '{"a":1}', eventId: "other", idempotencyKey: "k" });
    expect(contentOf(first)).toEqual(contentOf(repeat));
    expect(contentOf(first)).not.toEqual(contentOf(stored({ payload: '{"a": 1}' })));
    expect(contentOf(first)).not.toEqual(contentOf(stored({ payload: '{"a":1}', eventType: "paid2" })));
  });

  it("find their content and payload behind a key that looks like them", () => {
    const bytes = stored({
      eventId: ',"payload":{',
      idempotencyKey: ',"event_type":"x","payload":{}',
      payload: '{"a":1}',
    });
    expect(payloadOf(bytes).toString()).toBe('{"a":1}');
    expect(contentOf(bytes).toString()).toBe(',"event_type":"paid","payload":{"a":1}}');
  });
});

describe("stampReceivedAt", () => {
  it("leaves a payload alone that holds the text of an absent time", () => {
    const payload = '{"occurred_at":"0000-00-00T00:00:00.000Z"}';
    const bytes = stored({ payload, occurredAt: "2025-01-01T00:00:00Z" });
    expect(payloadOf(bytes).toString()).toBe(payload);
    expect(decodeEvent(bytes).occurred_at).toBe("2025-01-01T00:00:00Z");
  });

  it("keeps a given time of the first years", () => {
    expect(decodeEvent(stored({ occurredAt: "0000-12-01T00:00:00Z" })).occurred_at).toBe("0000-12-01T00:00:00Z");
    expect(decodeEvent(stored({ occurredAt: "0001-01-01T00:00:00Z" })).occurred_at).toBe("0001-01-01T00:00:00Z");
  });
});

describe("decodeEvent", () => {
  const NUMBERS = "[12345678901234567890,0.1234567890123456789,1e-400,1.10,-0.0,9007199254740993,3.0e0,1E5]";

  it("loses no digit of a number when a transform writes its payload again", () => {
    const event = decodeEvent(stored({ payload: `{"n":${NUMBERS},"big":100000000000000000000}` }));
    event.payload = { ...event.payload, added: true };
    const text = payloadJson(event).toString();
    for (const number of [
      "12345678901234567890",
      "0.1234567890123456789",
      "1e-400",
      "9007199254740993",
      "100000000000000000000",
    ]) {
      expect(text).toContain(number);
    }
  });

  it("writes any number again with the same value", () => {
    const number = fc.tuple(
      fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }),
      fc.option(fc.stringMatching(/^[0-9]{1,25}$/)),
      fc.option(fc.integer({ min: -30, max: 30 })),
    );
    fc.assert(
      fc.property(number, ([whole, fraction, exponent]) => {
        const text = `${whole}${fraction === null ? "" : `.${fraction}`}${exponent === null ? "" : `e${exponent}`}`;
        const event = decodeEvent(stored({ payload: `{"n":${text}}` }));
        event.payload["touched"] = 1;
        const again = /"n":([^,]+),/.exec(payloadJson(event).toString())?.[1] as string;
        expect(exactly(again)).toBe(exactly(text));
      }),
    );
  });

  it("keeps __proto__ and constructor as names like any other", () => {
    const event = decodeEvent(stored({ payload: '{"__proto__":{"polluted":1},"constructor":2}' }));
    expect(Object.keys(event.payload)).toEqual(["__proto__", "constructor"]);
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
    expect(payloadJson(event).toString()).toBe('{"__proto__":{"polluted":1},"constructor":2}');
  });

  it("notices a change of the payload in place", () => {
    const event = decodeEvent(stored({ payload: '{"a":1}' }));
    event.payload["a"] = 2;
    expect(payloadOf(encodeEvent(event)).toString()).toBe('{"a":2}');
  });

  it("passes the payload's bytes on when only the head was changed", () => {
    const payload = '{ "a" : 1.00 }';
    const event = decodeEvent(stored({ payload }));
    event.event_type = "renamed";
    expect(payloadOf(encodeEvent(event)).toString()).toBe(payload);
    expect(decodeEvent(encodeEvent(event)).event_type).toBe("renamed");
  });

  it("does not take a copy for the event that was stored", () => {
    const event = decodeEvent(stored({ payload: '{"a":1}' }));
    const copy = { ...event, payload: { a: 2 } };
    expect(payloadOf(encodeEvent(copy)).toString()).toBe('{"a":2}');
    expect(payloadJson(copy).toString()).toBe('{"a":2}');
  });

  it("gives valid JSON whatever a transform puts into the head", () => {
    const event = decodeEvent(stored({ payload: '{"a":1}' }));
    event.event_type = 'a","payload":{"b":2},"x":"';
    event.trace_id = "é\n";
    expect(JSON.parse(encodeEvent(event).toString())).toMatchObject({
      event_type: event.event_type,
      trace_id: "é\n",
      payload: { a: 1 },
    });
  });
});

/** A decimal as sign, digits and exponent without zeros at its ends. */
function exactly(text: string): string {
  const [mantissa = "", exponent = "0"] = text.toLowerCase().split("e");
  const [whole = "", fraction = ""] = mantissa.replace("-", "").split(".");
  const digits = (whole + fraction).replace(/^0+/, "");
  const kept = digits.replace(/0+$/, "");
  if (kept === "") return "0";
  return `${text.startsWith("-") ? "-" : ""}${kept}e${Number(exponent) - fraction.length + digits.length - kept.length}`;
}
