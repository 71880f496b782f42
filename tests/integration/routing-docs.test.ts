import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { parseConfig } from "../../config/parse.ts";
import type { CanonicalEvent } from "../../core/canonical/event.ts";
import { compileCondition } from "../../core/router/condition.ts";
import { PLUGINS } from "../../plugins/registry.ts";

const page = await readFile(resolve(import.meta.dirname, "../../docs/routing.md"), "utf8");
const block = (language: string) => new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``).exec(page)?.[1] ?? "";

test("the configuration in docs/routing.md is valid and routes", () => {
  const result = parseConfig({
    text: block("yaml"),
    file: "routing.md",
    plugins: PLUGINS,
    env: {},
    mode: "production",
  });
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  expect(result.config.draft.tenants[0]?.sinks.map(({ route }) => route)).toMatchObject([
    { when: expect.stringContaining("order_paid") },
    { include: ["order_*", "refund_*"], exclude: ["*_test"], sampleShare: 0.1 },
    { fallback: true },
  ]);
});

describe("a condition in docs/routing.md is what the page says", () => {
  const rows = [...page.matchAll(/^\| `(.*)` \| (true|false|missing_field|wrong_type|bad_value) \|$/gm)];
  const id = "9007199254740993";
  const event = JSON.parse(block("json").replace(id, `"${id}"`)) as CanonicalEvent;
  const rawJson = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON;
  Object.assign(event, { source: "http", received_at: "2025-03-01T13:30:00.000Z" });
  event.payload["id"] = rawJson(id);

  test("and there are many", () => expect(rows.length).toBeGreaterThan(20));

  test.each(rows.map(([, condition = "", is = ""]) => [condition.replaceAll("\\|", "|"), is]))(
    "%s: %s",
    (source, is) => {
      const { matched, fault } = compileCondition(source).evaluate(event);
      expect(fault?.code ?? String(matched)).toBe(is);
    },
  );
});
