import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { checkFloors } from "./floors.ts";

async function plant(files: Record<string, string>): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), "floors-"));
  onTestFinished(() => rm(root, { recursive: true }));
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  return root;
}

test.each([
  ["core/canonical/a.ts", "core/ingestion/b.ts", "floor-0-imports-only-downward"],
  ["core/ingestion/log.ts", "core/ingestion/b.ts", "floor-1-imports-only-downward"],
  ["core/qps/a.ts", "drivers/embedded/b.ts", "floor-2-imports-only-downward"],
  ["plugins/sink/x/index.ts", "workers/b.ts", "floor-3-imports-only-downward"],
  ["adapters/http/a.ts", "app/b.ts", "floor-4-imports-only-downward"],
  ["adapters/http/a.ts", "adapters/admin/b.ts", "adapters-siblings-stay-apart"],
  ["workers/a.ts", "config/b.ts", "adapters-workers-config-stay-apart"],
])("a type import from %s to %s is refused", async (from, to, rule) => {
  const up = "../".repeat(from.split("/").length - 1);
  const root = await plant({
    [from]: `import type { B } from "${up}${to}";\nexport const a: B = 1;\n`,
    [to]: "export type B = number;\n",
  });
  const folders = [...new Set([from, to].map((path) => path.split("/")[0] as string))];
  const report = await checkFloors(root, folders);
  expect(report.modules).toBe(2);
  expect(report.violations).toEqual([`${rule}: ${from} → ${to}`]);
});

test("a network client in the core is refused", async () => {
  const root = await plant({ "core/qps/a.ts": 'import net from "node:net";\nexport const a = net;\n' });
  const report = await checkFloors(root, ["core"]);
  expect(report.violations).toEqual(["core-has-no-client: core/qps/a.ts → net"]);
});

test("an import downward is allowed", async () => {
  const root = await plant({
    "app/a.ts": 'import type { B } from "../core/canonical/b.ts";\nexport const a: B = 1;\n',
    "core/canonical/b.ts": "export type B = number;\n",
  });
  expect(await checkFloors(root, ["app", "core"])).toEqual({ modules: 2, violations: [] });
});
