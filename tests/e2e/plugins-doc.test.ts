import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { pulsegate } from "../helpers/cli.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const FILE = join(ROOT, "docs/plugins.md");
const TEMPLATE = /(<!-- template: (\S+) -->\n```ts\n)([\s\S]*?)(```)/g;

test("docs/plugins.md shows what `plugins new` writes", async () => {
  const text = await readFile(FILE, "utf8");
  const templates = new Map<string, string>();
  for (const [, , path = ""] of text.matchAll(TEMPLATE))
    templates.set(path, await readFile(join(ROOT, "templates", path), "utf8"));
  const current = text.replace(
    TEMPLATE,
    (_, head: string, path: string) => `${head}${templates.get(path) ?? ""}\`\`\``,
  );
  if (process.env["UPDATE_README"] === "1") await writeFile(FILE, current);
  expect([...templates.keys()]).toEqual(["transform/index.ts", "sink/index.ts"]);
  expect(text, "stale? UPDATE_README=1 writes it anew").toBe(current);
});

test("the configuration in docs/plugins.md is valid with the transform that it is about", async () => {
  const cwd = await tempDir();
  const text = await readFile(FILE, "utf8");
  const [, yaml = ""] = /```yaml\n(tenants:[\s\S]*?)```/.exec(text) ?? [];
  await writeFile(join(cwd, "pulsegate.yaml"), yaml);
  expect(await pulsegate(["plugins", "new", "transform", "my_transform"], { cwd })).toMatchObject({ code: 0 });
  expect(await pulsegate(["config", "check"], { cwd })).toMatchObject({ code: 0 });
}, 60_000);
