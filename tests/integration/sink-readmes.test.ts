import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseConfig } from "../../config/parse.ts";
import { PLUGINS } from "../../plugins/registry.ts";

const SINKS = PLUGINS.filter(({ kind }) => kind === "sink");
/** What the examples take from the environment. */
const env = {
  DATABASE_URL: "postgres://app:secret@db.example:5432/app",
  WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, 3).toString("base64")}`,
};

const readmeOf = (name: string) => readFile(join(import.meta.dirname, `../../plugins/sink/${name}/README.md`), "utf8");

test.each(SINKS.map(({ name }) => name))("the first example in %s's README validates outside of dev", async (name) => {
  const [, example = ""] = /```yaml\n(sinks:\n[\s\S]*?)```/.exec(await readmeOf(name)) ?? [];
  expect(example).toContain(`name: ${name}`);
  const indented = example.replaceAll(/^/gm, "      ");
  const text = `tenants:\n  - id: a\n    plugins:\n${indented}`;
  const result = parseConfig({ text, file: "README.md", plugins: PLUGINS, env, mode: "production" });
  expect(result.ok ? [] : result.problems).toEqual([]);
});

test.each(SINKS)("$name's README names every option", async ({ name, config }) => {
  const readme = await readmeOf(name);
  const shape = (config as unknown as { shape: Record<string, unknown> }).shape;
  expect(Object.keys(shape).filter((option) => !readme.includes(`\`${option}`))).toEqual([]);
});
