import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type BatchContext, parseArray, parseLines } from "./parse-batch.ts";

const CONTEXT: BatchContext = {
  tenantId: "shop",
  source: "http",
  eventBytesMax: 1 << 20,
  eventsMax: 100_000,
  ids: { eventId: () => "made", traceId: () => "made" },
};

const FORMS = [
  ["lines", parseLines, (events: string[]) => events.join("\n")],
  ["an array", parseArray, (events: string[]) => `[${events.join()}]`],
] as const;

describe.each(FORMS)("a batch as %s", (_form, parse, bodyOf) => {
  it("yields between slices when it is large, and not when it is small", () => {
    const steps = (count: number) => {
      const body = Buffer.from(bodyOf(new Array<string>(count).fill('{"event_type":"a","x":"0123456789"}')));
      const parsing = parse(body, CONTEXT);
      let yields = 0;
      for (let step = parsing.next(); ; step = parsing.next()) {
        if (step.done === true) {
          expect(step.value.ok && step.value.events.length).toBe(count);
          return { yields, bytes: body.length };
        }
        yields++;
      }
    };
    expect(steps(100).yields).toBe(0);
    const { yields, bytes } = steps(60_000);
    expect(yields).toBe(Math.floor(bytes / (256 * 1024)));
  });

  it("gives the payload of each event, whatever is beside it", () => {
    const event = fc.oneof(
      fc.dictionary(fc.string({ unit: "binary" }), fc.jsonValue()),
      fc.constant(null),
      fc.constant([]),
    );
    fc.assert(
      fc.property(fc.array(event, { minLength: 1 }), (payloads) => {
        const events = payloads.map((payload) => JSON.stringify({ event_type: "a", payload }));
        const step = parse(Buffer.from(bodyOf(events)), CONTEXT).next();
        if (step.done !== true || !step.value.ok) throw new Error("refused");
        const found = step.value.events.map((parsed) =>
          parsed.ok ? Buffer.from(parsed.parts.payload).toString() : "refused",
        );
        const isObject = (payload: unknown) => payload !== null && !Array.isArray(payload);
        expect(found).toEqual(payloads.map((payload) => (isObject(payload) ? JSON.stringify(payload) : "refused")));
      }),
    );
  });
});
