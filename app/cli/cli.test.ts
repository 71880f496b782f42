import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pulsegate, spawnPulsegate } from "../../tests/helpers/cli.ts";
import { FOUNDING } from "../../tests/helpers/config-fixtures.ts";
import { createProgram } from "./program.ts";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pulsegate-cli-"));
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

async function fileWith(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

const VALID = `tenants:
  - id: shop
    plugins:
      sinks:
        - name: postgres_sink
          config: { url: "\${DB}" }
`;

describe("usage", () => {
  test("every command, and every group of them, has help with two examples", () => {
    const program = createProgram({ version: "1", onExitCode: () => {} });
    const all = (command: Command): Command[] => [command, ...command.commands.flatMap(all)];
    for (const command of all(program)) {
      let help = "";
      command.configureOutput({ writeOut: (text) => (help += text) });
      command.outputHelp();
      expect(help.match(/^ {2}\$ pulsegate /gm), command.name()).toHaveLength(2);
    }
  });

  test("help and version end with 0, on standard output", async () => {
    const help = await pulsegate(["--help"]);
    expect(help).toMatchObject({ code: 0, stderr: "", stdout: expect.stringContaining("Exit codes: 0 done") });
    const { version } = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8"));
    expect(await pulsegate(["--version"])).toMatchObject({ code: 0, stdout: `${version}\n` });
  });

  test.each([
    [["confg"], /unknown command 'confg'\n\(Did you mean config\?\)/],
    [["send", "--fil", "x"], /unknown option '--fil'/],
    [["dlq", "list", "--limit", "0"], /whole number from 1 to 500/],
    [["dev", "--port", "70000"], /whole number from 0 to 65535/],
    [["start"], /required option '--config <file>'/],
    [["start", "--config", "x", "--role", "boss"], /Allowed choices are api, worker, admin, all/],
    [["events", "get"], /missing required argument/],
    [["send"], /give either one event as JSON or --file/],
    [["send", "{}"], /no API key to send with/],
    [["keys", "create", "a b"], /can't name a key/],
  ])("%j is wrong usage: 2, and the reason on standard error", async (args, words) => {
    const result = await pulsegate(args, { cwd: folder });
    expect(result.stderr).toMatch(words);
    expect([result.code, result.stdout]).toEqual([2, ""]);
  });

  test("a reader that has seen enough is no failure", async () => {
    const { child, finished } = spawnPulsegate(["config", "schema"]);
    child.stdout?.destroy();
    expect((await finished).code).toBe(0);
  });
});

describe("without a PulseGate to ask", () => {
  test.each([
    [["events", "get", "x"]],
    [["dlq", "list"]],
    [["dlq", "show", "x/0/y/1"]],
    [["lanes", "list"]],
    [["ledger", "--json"]],
    [["sql", "SELECT 1"]],
  ])("%j ends with 3 and the next step", async (args) => {
    const result = await pulsegate(args, { cwd: folder });
    expect([result.code, result.stdout]).toEqual([3, ""]);
    expect(result.stderr).toMatch(/^error: .*\n {2}why: .*\n {2}next: .*\n$/);
  });

  test("an address where nobody listens ends with 3", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await new Promise((resolve) => server.close(resolve));
    const env = { PULSEGATE_ADMIN_URL: url, PULSEGATE_ADMIN_TOKEN: "t", PULSEGATE_URL: url, PULSEGATE_KEY: "k" };
    for (const [args, next] of [
      [["ledger"], /next: .*PULSEGATE_ADMIN_URL/],
      [["send", "{}"], /next: .*--url \(or PULSEGATE_URL\)/],
    ] as const) {
      const result = await pulsegate(args, { env, cwd: folder });
      expect([result.code, result.stderr]).toEqual([3, expect.stringContaining("why: ECONNREFUSED")]);
      expect(result.stderr).toMatch(next);
    }
  });

  test("half an address is wrong usage", async () => {
    const result = await pulsegate(["ledger"], { env: { PULSEGATE_ADMIN_URL: "http://127.0.0.1:1" } });
    expect([result.code, result.stderr]).toEqual([2, expect.stringContaining("PULSEGATE_ADMIN_TOKEN is not set")]);
  });

  test("an address that is none is wrong usage, one that is set to nothing is not there", async () => {
    const env = { PULSEGATE_ADMIN_URL: "localhost:8081", PULSEGATE_ADMIN_TOKEN: "t" };
    const wrong = await pulsegate(["ledger"], { env, cwd: folder });
    expect([wrong.code, wrong.stderr]).toEqual([
      2,
      expect.stringContaining("PULSEGATE_ADMIN_URL is no http URL: localhost:8081"),
    ]);
    const none = { PULSEGATE_ADMIN_URL: "", PULSEGATE_ADMIN_TOKEN: "" };
    const result = await pulsegate(["ledger"], { env: none, cwd: folder });
    expect([result.code, result.stderr]).toEqual([3, expect.stringContaining("found no PulseGate to ask")]);
  });
});

describe("config", () => {
  test("check ends with 0 on a valid file", async () => {
    const file = await fileWith("valid.yaml", VALID);
    const result = await pulsegate(["config", "check", file], { env: { DB: "postgres://app:secret@db:5432/app" } });
    expect(result).toEqual({ code: 0, stdout: `${file} is valid: 1 tenant(s), 1 sink(s)\n`, stderr: "" });
  });

  test("check tells every problem with its place and ends with 1", async () => {
    const file = await fileWith("bad.yaml", "htttp: {}\nworkers: { threads: 0 }\n");
    const result = await pulsegate(["config", "check", "--config", file]);
    expect(result.code).toBe(1);
    expect(result.stderr.split("\n").slice(0, 2)).toEqual([
      `${file}:1:1: unknown key "htttp" (did you mean "http"?)`,
      `${file}:2:21: workers.threads: expected a whole number from 1 to 256, or "auto"`,
    ]);
    const json = JSON.parse((await pulsegate(["config", "check", file, "--json"])).stdout);
    expect(json).toMatchObject({
      ok: false,
      problems: [
        { line: 1, column: 1 },
        { line: 2, column: 21 },
      ],
    });
  });

  test("a file that isn't there is told as such", async () => {
    const result = await pulsegate(["config", "check"], { cwd: folder });
    expect([result.code, result.stderr]).toEqual([1, expect.stringMatching(/^pulsegate.yaml:1:1: no such file/)]);
  });

  test("keys in plain text and the dev database are for dev alone", async () => {
    const text = `${FOUNDING.split("\n").slice(0, 2).join("\n")}\n    keys: [{ id: demo, key: demo }]\n    plugins: { sinks: [{ name: postgres_sink }] }\n`;
    const file = await fileWith("dev.yaml", text);
    expect((await pulsegate(["config", "check", file])).stderr).toMatch(/for `pulsegate dev` only/);
    expect((await pulsegate(["config", "check", "--dev", file])).code).toBe(0);
  });

  test("explain shows what is in effect and no secret", async () => {
    const file = await fileWith("explained.yaml", VALID);
    const env = { DB: "postgres://app:canary@db:5432/app" };
    for (const args of [
      ["config", "explain", file],
      ["config", "explain", file, "--json"],
    ]) {
      const result = await pulsegate(args, { env });
      expect([result.code, result.stderr]).toEqual([0, ""]);
      expect(result.stdout).toContain("${DB}");
      expect(result.stdout).not.toContain("canary");
    }
  });

  test("schema prints JSON Schema", async () => {
    const { code, stdout } = await pulsegate(["config", "schema"]);
    expect([code, JSON.parse(stdout).title]).toEqual([0, "PulseGate configuration"]);
  });
});

describe("keys and plugins", () => {
  test("a new key is shown once, with the line for the configuration, and no two are alike", async () => {
    const { stdout } = await pulsegate(["keys", "create", "web"]);
    const [key = ""] = /pgk_web_[A-Za-z0-9_-]{43}/.exec(stdout) ?? [];
    expect(stdout).toContain(`- { id: web, sha256: ${createHash("sha256").update(key).digest("hex")} }`);
    const other = JSON.parse((await pulsegate(["keys", "create", "web", "--json"])).stdout);
    expect(other.sha256).toBe(createHash("sha256").update(other.key).digest("hex"));
    expect(other.key).not.toBe(key);
  });

  test("plugins are listed and shown", async () => {
    expect((await pulsegate(["plugins", "list"])).stdout).toMatch(/^postgres_sink +sink +/m);
    expect((await pulsegate(["plugins", "show", "postgres_sink"])).stdout).toMatch(/^ {2}url {2}.*secret$/m);
    // What a rule may hold is told, too, and the example has one.
    const router = (await pulsegate(["plugins", "show", "business_router"])).stdout;
    expect(router).toMatch(/^ {2}rules\[\]\.when {2}string, required$/m);
    expect(router).toMatch(/^ +- when: event\.payload\.amount > 1000$/m);
    const shown = JSON.parse((await pulsegate(["plugins", "show", "postgres_sink", "--json"])).stdout);
    expect(shown.config.properties.url).toMatchObject({ secret: true });
    expect(await pulsegate(["plugins", "show", "postgres_snik"])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('did you mean "postgres_sink"?'),
    });
  });
});
