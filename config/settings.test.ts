import { expect, test } from "vitest";
import { z } from "zod";
import { jsonSchemaOf } from "./json-schema.ts";
import { settingsOf } from "./settings.ts";

test("settings within groups and lists of groups come after them, under their full names", () => {
  const rule = z.strictObject({ when: z.string(), label: z.string().default("a") });
  const schema = z.strictObject({
    rules: z.array(rule).default([]),
    otherwise: z.strictObject({ label: z.string() }).optional(),
    tags: z.array(z.string()),
  });
  const settings = settingsOf(jsonSchemaOf(schema));
  expect(settings.map(({ name, isRequired, isGroup }) => [name, isRequired, isGroup])).toEqual([
    ["rules", false, true],
    ["rules[].when", true, false],
    ["rules[].label", false, false],
    ["otherwise", false, true],
    ["otherwise.label", true, false],
    ["tags", true, false],
  ]);
});
