import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { memberName, pointerAt, repeatedMembers } from "./json-names.ts";
import { DEPTH_MAX, Members, type ScanFault, scanObject, scanValue, skipSpace } from "./json-scan.ts";

/** Offset of the first syntax error, or -1. */
function syntaxError(text: string): number {
  const bytes = Buffer.from(text);
  const start = skipSpace(bytes, 0, bytes.length);
  const behind = scanValue(bytes, start, bytes.length, []);
  if (behind < 0) return ~behind;
  const rest = skipSpace(bytes, behind, bytes.length);
  return rest < bytes.length ? rest : -1;
}

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function faultsOf(text: string): ScanFault[] {
  const bytes = Buffer.from(text);
  const faults: ScanFault[] = [];
  expect(scanValue(bytes, 0, bytes.length, faults)).toBe(bytes.length);
  return faults;
}

function scanned(text: string): { bytes: Buffer; members: Members } {
  const bytes = Buffer.from(text);
  const members = new Members();
  expect(scanObject(bytes, 0, bytes.length, members)).toBe(bytes.length);
  return { bytes, members };
}

const PIECES = [
  '{"',
  '"',
  '":',
  ",",
  "[",
  "]",
  "{",
  "}",
  ":",
  " ",
  "\n",
  "\t",
  "\\",
  "\\u00e9",
  "\\u12",
  "\\n",
  "\\x",
  "e",
  "E",
  "+",
  "-",
  ".",
  "0",
  "01",
  "1",
  "12.5",
  "1e9",
  "true",
  "false",
  "null",
  "nul",
  "é",
  "\u0001",
  "a",
  "\ufeff",
  "\u00a0",
  "\0",
  "/",
  "NaN",
  "'",
];

describe("scanValue", () => {
  it("accepts every text that JSON.stringify writes, however it is spaced", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), fc.constantFrom("", " ", "\n", "\t \r\n"), (text, space) => {
        expect(syntaxError(space + JSON.stringify(JSON.parse(text), undefined, space) + space)).toBe(-1);
      }),
    );
  });

  it("takes exactly what JSON.parse takes of texts made of JSON's pieces", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...PIECES), { maxLength: 12 }), (pieces) => {
        const text = pieces.join("");
        expect(syntaxError(text) === -1).toBe(parses(text));
      }),
      { numRuns: 20_000 },
    );
  });

  it("takes exactly what JSON.parse takes of valid texts with one character changed", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 4 }), fc.nat(), fc.constantFrom(...PIECES, ""), (text, at, piece) => {
        const i = at % (text.length + 1);
        const changed = text.slice(0, i) + piece + text.slice(i + 1);
        expect(syntaxError(changed) === -1).toBe(parses(changed));
      }),
      { numRuns: 5000 },
    );
  });

  it("finds every truncation of a valid text at its very end", () => {
    const text = '{"a":[1.5e3,true,null,{"b":"\\u00e9\\n"}],"c":-0}';
    for (let i = 0; i < text.length; i++)
      expect(syntaxError(text.slice(0, i))).toBe(Buffer.byteLength(text.slice(0, i)));
  });

  it("says where the first wrong byte is", () => {
    expect(syntaxError('{"a":1,}')).toBe(7);
    expect(syntaxError("[1 2]")).toBe(3);
    expect(syntaxError("[01]")).toBe(2);
    expect(syntaxError('"a\nb"')).toBe(2);
    expect(syntaxError('"\\q"')).toBe(2);
    expect(syntaxError('"\\u12g4"')).toBe(5);
    expect(syntaxError("[tru]")).toBe(4);
    expect(syntaxError("{} {}")).toBe(3);
  });

  it("stops at the given end, not at the buffer's", () => {
    const bytes = Buffer.from("[123456]");
    expect(scanValue(bytes, 1, 4, [])).toBe(4);
    expect(scanValue(bytes, 0, 4, [])).toBe(~4);
    expect(scanValue(Buffer.from('"abc"'), 0, 3, [])).toBe(~3);
  });
});

describe("faults", () => {
  it(`takes ${DEPTH_MAX} levels and notes the first container beyond each time`, () => {
    const nested = (levels: number) => "[".repeat(levels) + "]".repeat(levels);
    expect(faultsOf(nested(DEPTH_MAX))).toEqual([]);
    expect(faultsOf(nested(DEPTH_MAX + 1))).toEqual([{ code: "too_deep", offset: DEPTH_MAX }]);
    expect(faultsOf(`[${nested(DEPTH_MAX)},${nested(DEPTH_MAX)}]`)).toHaveLength(2);
    expect(faultsOf(nested(100_000))).toHaveLength(1);
    expect(faultsOf(nested(DEPTH_MAX))).toEqual([]);
  });

  it("counts the scanned object as the first level", () => {
    const { members } = scanned(`{"a":${"[".repeat(DEPTH_MAX - 1)}${"]".repeat(DEPTH_MAX - 1)}}`);
    expect(members.faults).toEqual([]);
    expect(scanned(`{"a":${"[".repeat(DEPTH_MAX)}${"]".repeat(DEPTH_MAX)}}`).members.faults).toHaveLength(1);
  });

  it("notes numbers beyond a double, and those alone", () => {
    const digits = (count: number) => "9".repeat(count);
    for (const text of ["1e400", "-1e400", "1e309", digits(310), `${digits(309)}.5`, "1.8E+308"]) {
      expect(faultsOf(text), text).toEqual([{ code: "number_out_of_range", offset: 0 }]);
    }
    for (const text of ["1e308", "1.7976931348623157e308", "1e-400", digits(308), `1.${digits(400)}`, "0e999", "-0"]) {
      expect(faultsOf(text), text).toEqual([]);
    }
  });

  it("agrees with Number on which numbers are beyond a double", () => {
    const number = fc.tuple(fc.bigInt({ min: 0n, max: 10n ** 320n }), fc.option(fc.integer({ min: -700, max: 400 })));
    fc.assert(
      fc.property(number, ([whole, exponent]) => {
        const text = exponent === null ? `${whole}` : `${whole}e${exponent}`;
        expect(faultsOf(text).length === 0).toBe(Number.isFinite(Number(text)));
      }),
    );
  });

  it("keeps no more than sixteen", () => {
    expect(faultsOf(`[${new Array(100).fill("1e999").join()}]`)).toHaveLength(16);
  });
});

describe("members", () => {
  it("are the own names of the parsed object, with the text of each value", () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string({ unit: "binary" }), fc.jsonValue()),
        fc.constantFrom("", " ", "\n"),
        (object, space) => {
          const text = JSON.stringify(object, undefined, space);
          const { bytes, members } = scanned(text);
          const found = new Map<string, unknown>();
          for (let i = 0; i < members.count; i++) {
            const value = bytes.toString("utf8", members.spans[i * 4 + 2], members.spans[i * 4 + 3]);
            found.set(memberName(bytes, members, i), JSON.parse(value));
          }
          const parsed = JSON.parse(text) as object;
          expect([...found.keys()].sort()).toEqual(Object.keys(parsed).sort());
          for (const [name, value] of Object.entries(parsed)) expect(found.get(name)).toEqual(value);
          expect(repeatedMembers(bytes, members)).toEqual([]);
        },
      ),
    );
  });

  it("holds thousands of members", () => {
    const text = `{${Array.from({ length: 5000 }, (_, i) => `"n${i}":${i}`).join()}}`;
    const { bytes, members } = scanned(text);
    expect(members.count).toBe(5000);
    expect(memberName(bytes, members, 4999)).toBe("n4999");
  });

  it("finds names that repeat, written with escapes or not, few members or many", () => {
    const repeated = (text: string) => {
      const { bytes, members } = scanned(text);
      return repeatedMembers(bytes, members);
    };
    expect(repeated('{"a":1,"b":2,"a":3,"b":4}')).toEqual([2, 3]);
    expect(repeated('{"a":1,"\\u0061":2}')).toEqual([1]);
    expect(repeated('{"\\u0061":1,"a":2}')).toEqual([1]);
    expect(repeated('{"é":1,"\\u00e9":2}')).toEqual([1]);
    expect(repeated('{"__proto__":1,"__proto__":2}')).toEqual([1]);
    expect(repeated('{"a":1,"A":2,"":3,"aa":4}')).toEqual([]);
    const many = Array.from({ length: 60 }, (_, i) => `"n${i}":0`);
    expect(repeated(`{${many.join()}}`)).toEqual([]);
    expect(repeated(`{${[...many, '"n55":0'].join()}}`)).toEqual([60]);
  });

  it("tells a lone surrogate's name from the replacement character's", () => {
    const { bytes, members } = scanned('{"\\ud800":1,"\ufffd":2}');
    expect(repeatedMembers(bytes, members)).toEqual([]);
  });
});

describe("pointerAt", () => {
  const pointer = (text: string, mark: string) => pointerAt(Buffer.from(text), 0, Buffer.from(text).indexOf(mark));

  it("names the value that stands at an offset", () => {
    expect(pointer('{"a":{"b":[1,2,{"c":X}]}}', "X")).toBe("/a/b/2/c");
    expect(pointer('{"a":"{[","b":[[],[X]]}', "X")).toBe("/b/1/0");
    expect(pointer("X", "X")).toBe("");
    expect(pointer('{"a":1,X', "X")).toBe("");
  });

  it("escapes as RFC 6901 says", () => {
    expect(pointer('{"a/b":{"c~d":{"":{"e\\"é":X}}}}', "X")).toBe('/a~1b/c~0d//e"é');
  });

  it("names an ancestor when a name is too long to be echoed", () => {
    expect(pointer(`{"a":{"${"x".repeat(1000)}":{"b":X}}}`, "X")).toBe("/a");
  });

  it("agrees with the way to a value in any JSON", () => {
    const path = fc.array(fc.oneof(fc.nat(3), fc.string()), { maxLength: 6 });
    fc.assert(
      fc.property(path, (steps) => {
        const text = steps.reduceRight<string>(
          (inner, step) =>
            typeof step === "number"
              ? `[${"0,".repeat(step)}${inner}]`
              : `{"z":[{"y":1}],${JSON.stringify(step)}:${inner}}`,
          "\u0001",
        );
        const bytes = Buffer.from(text);
        const expected = steps.map((step) => `/${String(step).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
        expect(pointerAt(bytes, 0, bytes.indexOf(1))).toBe(expected);
      }),
    );
  });
});
