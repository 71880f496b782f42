import * as fc from "fast-check";
import { stringify } from "yaml";
import { describe, expect, test } from "vitest";
import { parse, problemsOf } from "../tests/helpers/config-fixtures.ts";
import { parseSource } from "./source.ts";

/** A file with these lines below its first sink; they begin at line 7. */
const withSink = (...lines: string[]) =>
  [
    "tenants:",
    "  - id: a",
    "    plugins:",
    "      sinks:",
    "        - name: kafka_sink",
    "          config: { topic: t }",
  ]
    .concat(lines.map((line) => `          ${line}`))
    .join("\n");

function sinksOf(text: string) {
  const result = parse(text);
  if (!result.ok) throw new Error(result.problems.map(({ message }) => message).join("\n"));
  return result.config.draft.tenants[0]?.sinks;
}

describe("a sink's route", () => {
  test("is absent without its keys: the sink gets everything", () => {
    expect(sinksOf(withSink())?.[0]).toMatchObject({ route: undefined, transforms: [] });
  });

  test("is taken over whole, with the transforms of the sink's own", () => {
    const text = withSink(
      "when: event.payload.amount > 100",
      "include: [order_*, user.deleted]",
      "exclude: ['*.test']",
      "sample: 12.5%",
      "fallback: true",
      "transform: [{ name: pii_scrubber }]",
    );
    expect(sinksOf(text)?.[0]).toMatchObject({
      route: {
        when: "event.payload.amount > 100",
        include: ["order_*", "user.deleted"],
        exclude: ["*.test"],
        sampleShare: 0.125,
        fallback: true,
      },
      transforms: [{ name: "pii_scrubber" }],
    });
  });

  test.each([
    [
      "sample: 0%",
      "7:19: tenants[0].plugins.sinks[0].sample: expected a share of all events above 0%, like 10% or 0.5%",
    ],
    [
      "sample: 101%",
      "7:19: tenants[0].plugins.sinks[0].sample: expected a share of all events above 0%, like 10% or 0.5%",
    ],
    [
      "sample: 0.1",
      "7:19: tenants[0].plugins.sinks[0].sample: expected a share of all events above 0%, like 10% or 0.5%",
    ],
    ["include: []", "7:20: tenants[0].plugins.sinks[0].include: name at least one event type"],
    [
      "include: [a b]",
      "7:21: tenants[0].plugins.sinks[0].include[0]: expected an event type; * stands for any characters, like order_*",
    ],
    ["fallback: 1", "7:21: tenants[0].plugins.sinks[0].fallback: expected boolean, received number"],
    ["when: true", "7:17: tenants[0].plugins.sinks[0].when: expected string, received boolean; put it in quotes"],
    [
      "transform: [{ name: geoip_enrichr }]",
      '7:31: tenants[0].plugins.sinks[0].transform[0]: unknown transform "geoip_enrichr" (did you mean "geoip_enricher"?)',
    ],
    [
      "transform: [{ name: kafka_sink }]",
      '7:31: tenants[0].plugins.sinks[0].transform[0]: "kafka_sink" is not a transform (known: pii_scrubber, geoip_enricher)',
    ],
  ])("with a mistake is refused at its place: %s", (line, problem) => {
    expect(problemsOf(withSink(line))).toEqual([`pulsegate.yaml:${problem}`]);
  });

  test("is refused when a fallback can never get anything", () => {
    const text = `${withSink("fallback: true")}\n        - { name: kafka_sink, id: all, config: { topic: t } }`;
    expect(problemsOf(text)).toEqual([
      "pulsegate.yaml:7:21: tenants[0].plugins.sinks[0].fallback: nothing is ever left for it, tenants[0].plugins.sinks[1] takes every event (give that sink a condition, or take the fallback away)",
    ]);
  });
});

describe("a condition that is not valid", () => {
  const hint = "(docs/routing.md shows what a condition may say)";
  const at = "tenants[0].plugins.sinks[0].when:";

  test.each([
    ["plain", ["when: event.kind == 1"], "7:23", "No such key: kind"],
    ["in double quotes", ['when: "event.event_type == \\"a\\" || event.kind == 1"'], "7:53", "No such key: kind"],
    ["in single quotes", ["when: 'event.event_type == ''a'' || event.kind == 1'"], "7:53", "No such key: kind"],
    [
      "in a literal block",
      ["when: |", "  event.event_type == 'a' ||", "", "    event.kind == 1"],
      "10:21",
      "No such key: kind",
    ],
    [
      "in a folded block",
      ["when: >-", "  event.event_type == 'a'", "  || event.kind == 1"],
      "9:22",
      "No such key: kind",
    ],
    ["over plain lines", ["when: event.event_type == 'a'", "  || event.kind == 1"], "8:22", "No such key: kind"],
    ["cut short", ["when: event.event_type =="], "7:36", "Unexpected token: EOF"],
    ["with a type that does not fit", ["when: true && event.event_type > 5"], "7:25", "no such overload: string > int"],
    [
      "with a wrong pattern",
      ["when: event.event_type.matches('(a')"],
      "7:42",
      "not a pattern of RE2: missing closing ): `(a`",
    ],
  ])("is told with line and column, %s", (_name, lines, place, message) => {
    expect(problemsOf(withSink(...lines))).toEqual([`pulsegate.yaml:${place}: ${at} ${message} ${hint}`]);
  });

  test("is told at the value's place when the text was filled in", () => {
    const env = { KIND: "event.kind" };
    expect(problemsOf(withSink("when: ${KIND} == 1"), { env })).toEqual([
      `pulsegate.yaml:7:17: ${at} No such key: kind ${hint}`,
    ]);
  });

  test("whose exclamation mark YAML takes for a tag is told to be put in quotes", () => {
    expect(problemsOf(withSink("when: !has(event.payload.a)"))).toEqual([
      expect.stringMatching(/^pulsegate\.yaml:7:17: .*put a value that begins with "!" in quotes/),
    ]);
  });
});

test("finds each character of a text again, however YAML writes it", () => {
  const words = fc.array(fc.constantFrom("a", "event.x", "==", "'b'", '"c"', "\\", "||", "é", "#1", "x: y"), {
    minLength: 1,
  });
  const style = fc.constantFrom("BLOCK_LITERAL", "BLOCK_FOLDED", "QUOTE_DOUBLE", "QUOTE_SINGLE", "PLAIN");
  fc.assert(
    fc.property(words, style, fc.constantFrom(20, 80), fc.boolean(), (list, type, lineWidth, byLines) => {
      const value = list.join(byLines ? "\n" : " ");
      const text = stringify({ k: { when: value } }, { defaultStringType: type, defaultKeyType: "PLAIN", lineWidth });
      const source = parseSource(text, "f");
      // The library folds some texts into others.
      fc.pre((source.toValue() as { k: { when: string } }).k.when === value);
      const lines = value.split("\n");
      const fileLines = text.split("\n");
      lines.forEach((line, i) => {
        for (let column = 1; column <= line.length; column++) {
          const wanted = line[column - 1] as string;
          if (wanted === " " || wanted === "\\") continue;
          const place = source.placeInText(["k", "when"], { line: i + 1, column });
          expect(fileLines[place.line - 1]?.[place.column - 1]).toBe(wanted);
        }
      });
    }),
    { numRuns: 500 },
  );
});
