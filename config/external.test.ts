import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { PLUGIN_FIXTURES } from "../tests/helpers/config-fixtures.ts";
import { tempDir } from "../tests/helpers/temp-dir.ts";
import { explain } from "./explain.ts";
import { loadConfig } from "./parse.ts";
import type { LoadedConfig } from "./parse.ts";
import { formatProblem } from "./problems.ts";

let folder: string;

beforeEach(async () => {
  folder = await tempDir();
});

async function write(name: string, text: string): Promise<void> {
  const file = join(folder, name);
  await mkdir(join(file, ".."), { recursive: true });
  await writeFile(file, text);
}

function definition(changes: { name?: string; version?: string; head?: string; config?: string } = {}): string {
  const { name = "mine", version = "1.0.0", head = "", config } = changes;
  return `import { z } from "zod";
import { definePlugin } from "pulsegate/plugin";
${head}
export default definePlugin({
  kind: "transform", name: "${name}", version: "${version}", summary: "Mine.",
  ${config === undefined ? "" : `config: ${config},`}
  create: () => ({ name: "${name}", version: "${version}", process: async (event) => ({ type: "ok", event }) }),
});
`;
}

const OPTIONS = `z.object({ level: z.number().int().default(3).describe("How much."), key: z.string().meta({ secret: true }).refine((key) => key !== "bad", "is bad") })`;

async function load(...uses: string[]): Promise<string[] | LoadedConfig> {
  const lines = uses.map((use) => `        - ${use}`).join("\n");
  await write("pulsegate.yaml", `tenants:\n  - id: a\n    plugins:\n      transform:\n${lines}\n`);
  const file = join(folder, "pulsegate.yaml");
  const result = await loadConfig({ file, plugins: PLUGIN_FIXTURES, env: { LEVEL: "7" }, mode: "production" });
  if (result.ok) return result.config;
  return result.problems.map((problem) => formatProblem(problem).replace(`${folder}/`, ""));
}

async function loaded(...uses: string[]): Promise<LoadedConfig> {
  const config = await load(...uses);
  if (Array.isArray(config)) throw new Error(config.join("\n"));
  return config;
}

describe("a plugin that is not built in", () => {
  test("comes from a file beside the configuration, its options checked by its own schema", async () => {
    await write("plugins/mine.ts", definition({ config: OPTIONS }));
    const config = await loaded(`{ name: ./plugins/mine.ts, config: { key: hunter22, level: "\${LEVEL}" } }`);
    expect(config.draft.tenants[0]?.transforms).toEqual([
      {
        name: "mine",
        config: { level: 7, key: "hunter22" },
        module: {
          source: "./plugins/mine.ts",
          url: `file://${folder}/plugins/mine.ts`,
          digest: expect.stringMatching(/^[0-9a-f]{16}$/),
          version: "1.0.0",
        },
        isolation: { mode: "process", memoryBytes: 256 * 1024 * 1024, deadlineMs: 1_000 },
      },
    ]);
    expect(config.secrets).toEqual(["hunter22"]);
    const shown = new Map(explain({ config }).map(({ path, value }) => [path, value]));
    expect(shown.get("tenants[0].plugins.transform[0].config.key")).toBe("[secret]");
  });

  test("comes from a package installed beside the configuration, or from a folder", async () => {
    await write("node_modules/@acme/mine/package.json", `{"name":"@acme/mine","type":"module","exports":"./main.js"}`);
    await write("node_modules/@acme/mine/main.js", definition());
    await write("other/index.js", definition({ name: "other" }));
    const config = await loaded(`{ name: "@acme/mine", isolation: none }`, `{ name: ./other, isolation: worker }`);
    expect(config.draft.tenants[0]?.transforms).toMatchObject([
      { name: "mine", module: { url: `file://${folder}/node_modules/@acme/mine/main.js` } },
      { name: "other", isolation: { mode: "worker" } },
    ]);
    expect(config.draft.tenants[0]?.transforms[0]).not.toHaveProperty("isolation");
  });

  test("runs from a package as it was written, in TypeScript", async () => {
    await write("node_modules/typed/package.json", `{"name":"typed","type":"module","exports":"./index.ts"}`);
    await write("node_modules/typed/options.ts", "export const LEVEL: number = 1;");
    await write(
      "node_modules/typed/index.ts",
      definition({ head: `import { LEVEL } from "./options.ts"; void (LEVEL as number);` }),
    );
    expect((await loaded("{ name: typed }")).draft.tenants[0]?.transforms).toMatchObject([{ name: "mine" }]);
  });

  test("may talk to whoever started its process, and is not heard", async () => {
    await write("mine.ts", definition({ head: `process.send?.("ready");` }));
    expect((await loaded("{ name: ./mine.ts }")).draft.tenants[0]?.transforms).toMatchObject([{ name: "mine" }]);
  });

  test("has another digest when one of its own files changes", async () => {
    await write("mine.ts", definition({ head: `import "./helper.ts";` }));
    await write("helper.ts", "export const a = 1;");
    const digest = async () => (await loaded("{ name: ./mine.ts }")).draft.tenants[0]?.transforms[0]?.module?.digest;
    const before = await digest();
    expect(await digest()).toBe(before);
    await write("helper.ts", "export const a = 2;");
    expect(await digest()).not.toBe(before);
  });

  test.each([
    [
      "that lies, with its options",
      { config: OPTIONS },
      "{ name: ./mine.ts, config: { levle: 1, key: bad } }",
      [
        'pulsegate.yaml:5:40: tenants[0].plugins.transform[0].config: unknown key "levle" (did you mean "level"?)',
        "pulsegate.yaml:5:55: tenants[0].plugins.transform[0].config.key: is bad",
      ],
    ],
    [
      "without options, given some",
      {},
      "{ name: ./mine.ts, config: { a: 1 } }",
      ["pulsegate.yaml:5:38: tenants[0].plugins.transform[0]: mine has no options (remove its config)"],
    ],
    [
      "that throws at load",
      { head: `throw new Error("no luck");` },
      "{ name: ./mine.ts }",
      [
        "pulsegate.yaml:5:19: tenants[0].plugins.transform[0]: ./mine.ts can't be loaded: mine.ts:3:7: no luck (`pulsegate plugins check ./mine.ts` tells more)",
      ],
    ],
    [
      "that ends its process",
      { head: "process.exit(0);" },
      "{ name: ./mine.ts }",
      [
        "pulsegate.yaml:5:19: tenants[0].plugins.transform[0]: ./mine.ts can't be loaded: loading it ended the process (exit code 0) (`pulsegate plugins check ./mine.ts` tells more)",
      ],
    ],
    [
      "that is no TypeScript",
      { head: "let = ;" },
      "{ name: ./mine.ts }",
      [expect.stringMatching(/^pulsegate.yaml:5:19: .*\.\/mine\.ts can't be loaded: mine\.ts:3:7: \w/)],
    ],
    [
      "that asks for what PulseGate does not have",
      { head: `import { nope } from "pulsegate/plugin";` },
      "{ name: ./mine.ts }",
      [expect.stringContaining("can't be loaded: mine.ts:3:10: The requested module 'pulsegate/plugin' does not")],
    ],
    [
      "with a version that is none",
      { version: "1" },
      "{ name: ./mine.ts }",
      [expect.stringContaining("./mine.ts can't be loaded: its `version` must be a semantic version, e.g. 1.0.0")],
    ],
    [
      "that is not there",
      {},
      "{ name: ./yours.ts }",
      [
        "pulsegate.yaml:5:19: tenants[0].plugins.transform[0]: there is no file ./yours.ts (paths start at the configuration file's folder; a folder needs an index.ts or index.js)",
      ],
    ],
    [
      "with the name of a built-in one",
      { name: "pii_scrubber" },
      "{ name: ./mine.ts }",
      [
        "pulsegate.yaml:5:19: tenants[0].plugins.transform[0]: pii_scrubber 1.0.0 (./mine.ts) has the same name as pii_scrubber 1.0.0 (built in) (two versions of one plugin can't run side by side: use one of them, or give one another name)",
      ],
    ],
    [
      "of a package that is not installed",
      {},
      "{ name: acme-mine }",
      [
        expect.stringMatching(
          /^pulsegate.yaml:5:19: .*: unknown transform "acme-mine" \(known: .* a package must be installed/,
        ),
      ],
    ],
  ])("%s is a problem with its place and the next step", async (_, changes, use, expected) => {
    await write("mine.ts", definition(changes));
    expect(await load(use)).toEqual(expected);
  });

  test("that is no JavaScript is a problem with the place in its file", async () => {
    await write("mine.mjs", "export default 1;\nconst a = ;\n");
    expect(await load("{ name: ./mine.mjs }")).toEqual([expect.stringContaining("can't be loaded: mine.mjs:2:11: ")]);
  });

  test.each(["data:text/javascript,export default 1", "file:///etc/passwd", "node:fs", "fs", "#own", "http://a/b.js"])(
    "is a file or a package, and not %s",
    async (name) => {
      expect(await load(`{ name: "${name}" }`)).toEqual([expect.stringContaining(`unknown transform "${name}"`)]);
    },
  );

  test("in two versions is a problem of the second place", async () => {
    await write("mine.ts", definition());
    await write("mine2.ts", definition({ version: "2.0.0" }));
    expect(await load("{ name: ./mine.ts }", "{ name: ./mine2.ts }", "{ name: ./mine.ts }")).toEqual([
      expect.stringMatching(
        /^pulsegate.yaml:6:19: .*mine 2.0.0 \(.\/mine2.ts\) has the same name as mine 1.0.0 \(.\/mine.ts\)/,
      ),
    ]);
  });

  test("is a sink that is named as a transform: a problem", async () => {
    await write("mine.ts", definition().replace('"transform"', '"sink"').replace("process:", "send:"));
    expect(await load("{ name: ./mine.ts }")).toEqual([
      expect.stringContaining("./mine.ts is a sink, not a transform"),
    ]);
  });

  test("names its lane when the sink has no id: two such uses are a problem", async () => {
    await write(
      "out/index.mjs",
      definition({ name: "out" }).replace('"transform"', '"sink"').replace("process:", "send:"),
    );
    const sinks = "[{ name: ./out }, { name: ./out/index.mjs }]";
    await write("pulsegate.yaml", `tenants: [{ id: a, plugins: { sinks: ${sinks} } }]\n`);
    const file = join(folder, "pulsegate.yaml");
    const result = await loadConfig({ file, plugins: PLUGIN_FIXTURES, env: {}, mode: "production" });
    expect(result.ok ? [] : result.problems.map(({ message }) => message)).toEqual([
      'tenants[0].plugins.sinks[1]: the same sink id "out" as tenants[0].plugins.sinks[0]',
    ]);
  });

  test("without a valid definition is a problem that says what it lacks", async () => {
    await write("mine.ts", "export const plugin = 1;");
    expect(await load("{ name: ./mine.ts }")).toEqual([expect.stringContaining("it has no default export")]);
  });
});
