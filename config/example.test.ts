import { expect, test } from "vitest";
import { PLUGINS } from "../plugins/registry.ts";
import { exampleOf } from "./example.ts";
import { parseConfig } from "./parse.ts";
import { factsOf } from "./plugins.ts";
import { formatProblem } from "./problems.ts";

test.each(PLUGINS.map((plugin) => [plugin.name, plugin] as const))("the example of %s is valid", (_, plugin) => {
  const text = exampleOf(factsOf(plugin));
  const result = parseConfig({ text, file: "example.yaml", plugins: PLUGINS, env: {}, mode: "production" });
  expect(result.ok ? [] : result.problems.map(formatProblem), text).toEqual([]);
});
