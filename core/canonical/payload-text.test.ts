import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parsePayload, writePayload } from "./payload-text.ts";

/** The text again after `change` has made something else of the payload. */
function rewritten(text: string, change: (payload: Record<string, unknown>) => unknown): string {
  const { payload, spellings } = parsePayload(text);
  return writePayload(change(payload), spellings) ?? "none";
}

const SPELLED =
  '{"price":10.10,"qty":1,"rate":1.0,"big":12345678901234567890,"e":1E5,"zero":-0,"list":[2.50,2.5,-0.0]}';

describe("a payload that is written again", () => {
  it("keeps the spelling of every number that was not touched", () => {
    expect(rewritten(SPELLED, (payload) => payload)).toBe(SPELLED);
    expect(rewritten(SPELLED, (payload) => ({ ...payload, added: true }))).toBe(
      `${SPELLED.slice(0, -1)},"added":true}`,
    );
    expect(rewritten(SPELLED, (payload) => Object.assign(payload, { qty: 2 }))).toBe(
      SPELLED.replace('"qty":1', '"qty":2'),
    );
  });

  it("keeps it through deep copies, which hold no object of the first payload", () => {
    const text = '{"a":[{"n":1.0,"m":1},{"n":1.0}],"b":{"c":{"d":1e2}}}';
    const copied = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(copied);
      if (typeof value !== "object" || value === null) return value;
      return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, copied(inner)]));
    };
    expect(rewritten(text, copied)).toBe(text);
  });

  it("lends it to no number of another place, which may have to be spelled otherwise", () => {
    expect(rewritten('{"price":1.0,"text":"1"}', ({ price }) => ({ price, text: 1, count: 1 }))).toBe(
      '{"price":1.0,"text":1,"count":1}',
    );
    expect(rewritten('{"n":[1.50,2.50]}', ({ n }) => ({ n: [(n as number[])[1]] }))).toBe('{"n":[2.5]}');
  });

  it("writes a number of the transform's own that took the place of another", () => {
    expect(rewritten('{"a":1.0,"b":-0}', () => ({ a: 2, b: 0 }))).toBe('{"a":2,"b":0}');
  });

  it("gives plain numbers to whoever reads it, and raw JSON only where a double can't hold them", () => {
    const { payload } = parsePayload(SPELLED);
    expect([payload["price"], payload["rate"], payload["e"], payload["list"]]).toEqual([
      10.1,
      1,
      100_000,
      [2.5, 2.5, -0],
    ]);
    expect((JSON as unknown as { isRawJSON(value: unknown): boolean }).isRawJSON(payload["big"])).toBe(true);
  });

  it("minds nothing when all numbers are spelled as JavaScript does, nor digits within text", () => {
    for (const text of ['{"a":1,"b":-2.5,"c":0.1,"d":0,"e":100}', '{"ip":"10.0.0.1","at":"2025-03-01T12:00:00Z"}'])
      expect(parsePayload(text).spellings).toBeUndefined();
  });

  it("is the same text byte for byte beside what was added, for any numbers anywhere", () => {
    const number = fc.oneof(
      fc.stringMatching(/^-?(0|[1-9][0-9]{0,22})(\.[0-9]{1,22})?([eE][+-]?[0-9]{1,2})?$/),
      fc.constantFrom("1", "1.0", "1.00", "10e-1", "0", "-0", "0.0", "0e9"),
    );
    const name = fc.stringMatching(/^[a-z_]{1,4}$/);
    const { object } = fc.letrec<{ value: string; object: string }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 4 },
        number,
        fc.string().map((text) => JSON.stringify(text)),
        fc.array(tie("value"), { maxLength: 4 }).map((all) => `[${all.join(",")}]`),
        tie("object"),
      ),
      object: fc
        .uniqueArray(fc.tuple(name, tie("value")), { maxLength: 4, selector: ([name]) => name })
        .map((all) => `{${all.map(([name, value]) => `"${name}":${value}`).join(",")}}`),
    }));
    fc.assert(
      fc.property(object, (text) => {
        const comma = text === "{}" ? "" : ",";
        expect(rewritten(text, (payload) => ({ ...payload, Added: true }))).toBe(
          `${text.slice(0, -1)}${comma}"Added":true}`,
        );
      }),
      { numRuns: 3000 },
    );
  });
});

it("looks for odd numbers outside of texts only, whatever stands in these", () => {
  const text = fc.string({ unit: fc.constantFrom('"', "\\", "1.0", "-0", "e5", ",", ":", " ", "a") });
  const value = fc.oneof(
    text.map((inner) => JSON.stringify(inner)),
    fc.constantFrom("1", "-1", "0.5", "true", "null", "[]", "[1,{}]"),
  );
  fc.assert(
    fc.property(fc.array(value), fc.boolean(), (values, odd) => {
      const all = odd ? [...values, "1.0"] : values;
      const members = all.map((inner, i) => `"m${i}":${inner}`).join(",");
      expect(parsePayload(`{${members}}`).spellings !== undefined).toBe(odd);
    }),
    { numRuns: 2000 },
  );
});
