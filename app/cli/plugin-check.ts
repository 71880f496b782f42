import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { askProcess } from "../../config/ask-process.ts";
import { optionsOf } from "../../config/example.ts";
import { sourceOf } from "../../config/plugins.ts";
import type { PluginFacts, PluginUsage } from "../../config/plugins.ts";
import { formatPath } from "../../config/problems.ts";
import type { CheckRequest, CheckResult, Servers } from "../../plugins/testing/check-messages.ts";
import { startServers } from "./check-servers.ts";
import { Failure } from "./failure.ts";
import { loadOrFail } from "./plugin-config.ts";
import { factsOfName } from "./plugin-commands.ts";
import { printJson, printLine, printNote } from "./print.ts";

const CHECK_TIMEOUT_MS = 120_000;

export interface CheckOptions {
  readonly json?: boolean;
  /** A file whose uses of the plugin are checked as well, with the connection of each sink. */
  readonly config?: string;
}

/**
 * `plugins check`: loads a plugin, or each that a configuration names, and runs the promises that the
 * pipeline relies on (a built-in sink's on a target made for it), the tests that lie beside it, and the connection
 * test of each use of a sink.
 */
export async function checkPlugins(name: string | undefined, options: CheckOptions): Promise<void> {
  if (name === undefined && options.config === undefined)
    throw new Failure("there is nothing to check", { next: "name a plugin, or a configuration with --config" });
  const uses = options.config === undefined ? [] : (await loadOrFail(options.config)).uses;
  const plugins =
    name === undefined
      ? [...new Map(uses.map(({ plugin }) => [plugin.name, plugin])).values()]
      : [await factsOfName(name)];
  const checked: Checked[] = [];
  const servers = await startServers(plugins);
  try {
    for (const plugin of plugins)
      checked.push(await checkPlugin({ plugin, uses, servers: servers.addresses, isShown: options.json !== true }));
  } finally {
    await servers.stop();
  }
  if (options.json === true) printJson(checked);
  const failed = checked.flatMap(({ results }) => results).filter(({ fault }) => fault !== undefined).length;
  if (failed > 0) throw new Failure(`${failed} ${failed === 1 ? "check" : "checks"} failed`, { next: "see above" });
}

interface CheckOne {
  readonly plugin: PluginFacts;
  readonly uses: readonly PluginUsage[];
  readonly servers: Servers;
  readonly isShown: boolean;
}

interface Checked {
  readonly name: string;
  readonly version: string;
  readonly source: string;
  readonly results: readonly CheckResult[];
}

async function checkPlugin({ plugin, uses, servers, isShown }: CheckOne): Promise<Checked> {
  const { name, version, module } = plugin;
  const source = sourceOf(plugin);
  if (isShown) printLine(`${name} ${version} (${plugin.kind}, ${source})`);
  const own = uses.filter((use) => use.plugin.name === name);
  const results = [
    ...(await promisesOf(plugin, own, servers)),
    ...(module === undefined ? [] : await ownTests(module.url)),
  ];
  if (isShown)
    for (const { name: what, fault, skipped } of results) {
      const word = fault !== undefined ? "FAILED" : skipped === undefined ? "ok    " : "-     ";
      printLine(`  ${word}  ${what}${skipped === undefined ? "" : ` (not checked: ${skipped})`}`);
      if (fault !== undefined) printLine(`          ${fault.split("\n").slice(0, 12).join("\n          ")}`);
    }
  return { name, version, source, results };
}

async function promisesOf(
  plugin: PluginFacts,
  uses: readonly PluginUsage[],
  servers: Servers,
): Promise<readonly CheckResult[]> {
  const { name, kind, module, schema } = plugin;
  const request: CheckRequest = {
    plugin: module === undefined ? { name } : { url: module.url },
    servers,
    configs: uses.length > 0 ? uses.map(({ config }) => config) : [optionsOf(schema)],
    connections: kind === "sink" ? uses.map(({ path, config }) => ({ label: formatPath(path), config })) : [],
  };
  const end = await askProcess<CheckResult[]>({ entry: CHECK_ENTRY, request, timeoutMs: CHECK_TIMEOUT_MS });
  if (end.type === "answer") return end.answer;
  const fault = end.type === "late" ? `no end within ${CHECK_TIMEOUT_MS / 1_000} s` : `it ${end.how}`;
  return [{ name: "runs to the end", fault }];
}

/** The plugin's own test files, by the test runner of Node.js. */
async function ownTests(url: string): Promise<CheckResult[]> {
  const folder = dirname(fileURLToPath(url));
  const files = readdirSync(folder).filter((file) => /\.test\.(?:ts|m?js)$/.test(file));
  if (files.length === 0) return [];
  const { code, output } = await runTests(files.map((file) => join(folder, file)));
  if (code !== 0) printNote(output.trimEnd());
  return [{ name: `passes its own tests: ${files.join(", ")}`, fault: code === 0 ? undefined : "its tests fail" }];
}

function runTests(files: readonly string[]): Promise<{ code: number | null; output: string }> {
  const args = ["--import", REGISTER.href, "--disable-warning=ExperimentalWarning", "--test", ...files];
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"], env });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
  return new Promise((done, reject) => {
    child.on("error", reject);
    child.on("close", (code) => done({ code, output }));
  });
}

// Source runs as .ts, the built package as .js.
const EXTENSION = import.meta.url.endsWith(".ts") ? ".ts" : ".js";
const CHECK_ENTRY = new URL(`../../plugins/testing/check-entry${EXTENSION}`, import.meta.url);
const REGISTER = new URL(`../../plugins/loading/register${EXTENSION}`, import.meta.url);
