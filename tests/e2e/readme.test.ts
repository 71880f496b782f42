import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { parseConfig } from "../../config/parse.ts";
import { PLUGINS } from "../../plugins/registry.ts";
import { spawnPulsegate } from "../helpers/cli.ts";
import { freePorts } from "../helpers/free-ports.ts";
import { startShell } from "../helpers/shell.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { until } from "../helpers/until.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const TRANSCRIPT = /(<!-- transcript:start[^>]*-->\n```console\n)([\s\S]*?)(```\n<!-- transcript:end -->)/g;

test.each([
  ["README.md", 0],
  ["README.md", 1],
  ["README.md", 2],
  ["docs/http.md", 0],
])("the transcript in %s (%i) is what a user sees", { timeout: 240_000 }, async (name, index) => {
  const file = join(ROOT, name);
  const text = await readFile(file, "utf8");
  const [transcript, , written = ""] = [...text.matchAll(TRANSCRIPT)][index] ?? [];
  expect(transcript).toBeDefined();
  const commands = commandsOf(written);
  const seen = await (written.includes("redis-server") ? playInShell(commands) : play(commands));
  if (process.env["UPDATE_README"] !== undefined) {
    const now = await readFile(file, "utf8");
    await writeFile(
      file,
      now.replace(written, () => seen),
    );
  } else expect(masked(seen)).toBe(masked(written));
});

/** A command starts with `$ ` and goes on while lines end with a backslash. */
function commandsOf(transcript: string): string[] {
  return [...transcript.matchAll(/^\$ ((?:.*\\\n)*.*)$/gm)].map((match) => match[1] as string);
}

async function play(commands: readonly string[]): Promise<string> {
  const cwd = await tempDir();
  const dev = spawnPulsegate(["dev", "--port", "0", "--ops-port", "0"], { cwd });
  const [, url = ""] = await dev.output(/events +(http:\/\/localhost:\d+)\/v1\/events/);
  await dev.output(/Ctrl-C stops/);
  let transcript = "";
  for (const command of commands) {
    transcript += `$ ${command}\n${await outputOf(command, { cwd, url })}`;
  }
  dev.signalGroup("SIGINT");
  await dev.finished;
  return transcript;
}

/** Every port of the transcript. */
const PORTS = /\b(6379|808[12]|908[1-5])\b/g;

/** What the transcript starts itself runs in the background of one shell, on free ports. */
async function playInShell(commands: readonly string[]): Promise<string> {
  const shell = startShell(await tempDir());
  const named = [...new Set(commands.join("\n").match(PORTS))];
  const free = await freePorts(named.length);
  const ports = new Map(named.map((port, i) => [port, String(free[i])]));
  let transcript = "";
  for (const command of commands) {
    const runnable = command
      .replaceAll(PORTS, (port) => ports.get(port) as string)
      .replace("curl ", "curl -s ")
      .replaceAll("npx pulsegate", `${process.execPath} ${join(ROOT, "bin/pulsegate.mjs")}`)
      .replaceAll("deploy/local/", join(ROOT, "deploy/local/"));
    const ask = async () => {
      const output = await shell.run(runnable);
      return UNSETTLED.test(output) ? undefined : output;
    };
    transcript += `$ ${command}\n${await (command.includes("pulsegate ledger") ? until(ask, command) : ask())}`;
  }
  return transcript;
}

/** No row yet; a fate still pending; a ledger line with something pending. */
const UNSETTLED = /\(0 rows\)| [1-9]\d* pending|_sink +pending|"status":"pending"|_sink( +\d+){4} +[1-9]/;

/** A row comes within a second, not at once: a command that shows none yet is asked again, as a person would. */
async function outputOf(command: string, { cwd, url }: { cwd: string; url: string }): Promise<string> {
  const runnable = command
    .replace("http://localhost:8080", url)
    .replace(/(^|\| )curl /, "$1curl -s ")
    .replace(/^npx pulsegate/, `${process.execPath} ${join(ROOT, "bin/pulsegate.mjs")}`);
  const ask = async () => {
    const { stdout } = await promisify(execFile)("bash", ["-c", runnable], { cwd }).catch(orNoTable);
    return UNSETTLED.test(stdout) ? undefined : stdout;
  };
  const changes = / -d |--data-binary| send |redrive|replay create|ALTER|TRUNCATE| > /.test(command);
  const output = changes ? ((await ask()) ?? "") : await until(ask, command);
  return output === "" || output.endsWith("\n") ? output : `${output}\n`;
}

/** The first delivery makes the table: until then there is no row either. */
function orNoTable(error: { readonly stderr?: string }): { readonly stdout: string } {
  if (error.stderr?.includes('relation "events_raw" does not exist') === true) return { stdout: "(0 rows)" };
  throw error;
}

/** Ids, times, durations and rates differ at each run; everything else must not. */
function masked(text: string): string {
  return text
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "<id>")
    .replace(/\b[0-9a-f]{32}\b/g, "<trace>")
    .replace(/2\d{3}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00)?/g, "<time>")
    .replace(/\b(replay|redrive|backfill)-[0-9a-z]+-[0-9a-z]{4}\b/g, "$1-<id>")
    .replace(/\d+(\.\d+)? ?(ms|s|events\/s|lines\/s)\b/g, "<n>");
}

test("the configuration in the README is valid", async () => {
  const readme = await readFile(join(ROOT, "README.md"), "utf8");
  const [, text = ""] = /```yaml\n([\s\S]*?)```/.exec(readme) ?? [];
  const env = { WEB_KEY_SHA256: "0".repeat(64), DATABASE_URL: "postgres://u:p@localhost:5432/db" };
  const result = parseConfig({ text, file: "README.md", plugins: PLUGINS, env, mode: "production" });
  expect(result).toMatchObject({ ok: true });
});
