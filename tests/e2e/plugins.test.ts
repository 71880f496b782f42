import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { CheckResult } from "../../plugins/testing/check-messages.ts";
import { pulsegate } from "../helpers/cli.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const TIMEOUT_MS = 120_000;

describe("plugins new", () => {
  test.each(["transform", "sink"])(
    "makes a %s whose checks and tests pass at once",
    async (kind) => {
      const cwd = await tempDir();
      expect(await pulsegate(["plugins", "new", kind, "made"], { cwd })).toMatchObject({ code: 0 });
      const checked = await pulsegate(["plugins", "check", "./made"], { cwd });
      expect(checked).toMatchObject({ code: 0, stdout: expect.stringContaining("ok      passes its own tests") });
      const manifest = await readFile(join(cwd, "made/package.json"), "utf8");
      expect(JSON.parse(manifest)).toMatchObject({ name: "pulsegate-plugin-made", keywords: ["pulsegate-plugin"] });
    },
    TIMEOUT_MS,
  );

  test(
    "never overwrites, and takes no name that could not be one",
    async () => {
      const cwd = await tempDir();
      await mkdir(join(cwd, "made"));
      expect(await pulsegate(["plugins", "new", "sink", "made"], { cwd })).toMatchObject({
        code: 1,
        stderr: expect.stringContaining("made exists already"),
      });
      expect(await pulsegate(["plugins", "new", "sink", "../up"], { cwd })).toMatchObject({ code: 2 });
      expect(await pulsegate(["plugins", "new", "sink", "file_sink"], { cwd })).toMatchObject({
        code: 1,
        stderr: expect.stringContaining("the name of a built-in plugin"),
      });
    },
    TIMEOUT_MS,
  );
});

describe("plugins check", () => {
  test(
    "tells which promise a plugin breaks, and with what",
    async () => {
      const cwd = await tempDir();
      await writeFile(join(cwd, "careless.mjs"), CARELESS);
      const { code, stdout } = await pulsegate(["plugins", "check", "./careless.mjs"], { cwd });
      expect(code).toBe(1);
      expect(stdout).toMatch(
        /FAILED {2}answers any event with a valid outcome, with \{\}\n\s+it threw on the payload \{/,
      );
      expect(stdout).toMatch(/ok {6}states what it is/);
    },
    TIMEOUT_MS,
  );

  test(
    "survives a plugin that ends its process",
    async () => {
      const cwd = await tempDir();
      await writeFile(join(cwd, "deadly.mjs"), CARELESS.replace("event.payload.user.email", "process.exit(9)"));
      const { code, stdout } = await pulsegate(["plugins", "check", "./deadly.mjs"], { cwd });
      expect(code).toBe(1);
      expect(stdout).toContain("it ended the process (exit code 9)");
    },
    TIMEOUT_MS,
  );

  test.each([
    ["file_sink", ["breakNextDelivery", "permanentFault", "badPayload"].map((what) => `the target has no ${what}`)],
    ["webhook_sink", ["the sink claims no order (`keepsOrder`)"]],
    ["postgres_sink", []],
  ])(
    "runs the promises of %s on a target of its own",
    async (name, unchecked) => {
      const { code, stdout } = await pulsegate(["plugins", "check", name, "--json"], { cwd: await tempDir() });
      const [{ results }] = JSON.parse(stdout) as [{ results: CheckResult[] }];
      expect(results.filter(({ fault }) => fault !== undefined)).toEqual([]);
      expect(results.flatMap(({ skipped = [] }) => skipped)).toEqual(unchecked);
      expect(results.length).toBe(16);
      expect(code).toBe(0);
    },
    TIMEOUT_MS,
  );

  test(
    "says what it could not check, and why",
    async () => {
      const env = { KAFKA_BROKERS: "" };
      const { code, stdout } = await pulsegate(["plugins", "check", "kafka_sink"], { cwd: await tempDir(), env });
      expect(stdout).toContain(
        "-       keeps its promises on a real target (not checked: KAFKA_BROKERS names no broker",
      );
      expect(code).toBe(0);
    },
    TIMEOUT_MS,
  );

  test(
    "with --config tries the connection of each use of a sink",
    async () => {
      const cwd = await tempDir();
      const sinks = ["out.ndjson", "nowhere/out.ndjson"].map(
        (path) => `{ name: file_sink, id: s${path.length}, config: { path: ${join(cwd, path)} } }`,
      );
      await writeFile(join(cwd, "p.yaml"), `tenants: [{ id: a, plugins: { sinks: [${sinks.join(", ")}] } }]\n`);
      const { code, stdout } = await pulsegate(["plugins", "check", "--config", "p.yaml"], { cwd });
      expect(code).toBe(1);
      expect(stdout).toContain("ok      reaches the target of tenants[0].plugins.sinks[0]");
      expect(stdout).toContain("FAILED  reaches the target of tenants[0].plugins.sinks[1]");
      expect(stdout).toContain("ENOENT");
    },
    TIMEOUT_MS,
  );
});

const CARELESS = `export default {
  kind: "transform", name: "careless", version: "1.0.0", summary: "Trusts its input.",
  create: () => ({ name: "careless", version: "1.0.0", async process(event) {
    return { type: "ok", event: { ...event, event_type: String(event.payload.user.email) } };
  } }),
};
`;
