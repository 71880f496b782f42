/**
 * Writes docs/reference/ from the sources.
 *
 *     node scripts/generate-reference.ts           write
 *     node scripts/generate-reference.ts --check   exit 1 and name the files that are not current
 */
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { adminApiPage } from "./reference/admin-api.ts";
import { cliPage } from "./reference/cli.ts";
import { configPage, configSchema } from "./reference/config.ts";
import { errorsPage } from "./reference/errors.ts";
import { metricsPage } from "./reference/metrics.ts";
import { pluginsPage } from "./reference/plugins.ts";

const FOLDER = resolve(import.meta.dirname, "../docs/reference");

const PAGES: Readonly<Record<string, () => string>> = {
  "admin-api.md": adminApiPage,
  "cli.md": cliPage,
  "config.md": configPage,
  "config.schema.json": configSchema,
  "errors.md": errorsPage,
  "metrics.md": metricsPage,
  "plugins.md": pluginsPage,
};

/** Names of the files in a folder that are not what the sources say: stale, missing or orphaned. */
export async function staleFiles(folder: string): Promise<string[]> {
  const present = await readdir(folder).catch(() => []);
  const orphans = present.filter((name) => !(name in PAGES));
  const stale: string[] = [];
  for (const [name, page] of Object.entries(PAGES)) {
    const text = await readFile(join(folder, name), "utf8").catch(() => undefined);
    if (text !== page()) stale.push(name);
  }
  return [...stale, ...orphans].toSorted();
}

export async function writePages(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const [name, page] of Object.entries(PAGES)) await writeFile(join(folder, name), page());
}

async function main(args: readonly string[]): Promise<number> {
  if (!args.includes("--check")) {
    await writePages(FOLDER);
    return 0;
  }
  const stale = await staleFiles(FOLDER);
  for (const name of stale) console.error(`docs/reference/${name} is not current: run \`make reference\``);
  return stale.length === 0 ? 0 : 1;
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
