/**
 * Writes the measured figures of bench/results/ into the README, between its markers, so that no
 * figure there is written by hand. `--check` exits with 1 when the README is stale.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { figures, type Results } from "./figures.ts";

const ROOT = resolve(import.meta.dirname, "..");
const README = resolve(ROOT, "README.md");
const BLOCK = /(<!-- figures:start[^>]*-->\n)[\s\S]*?(<!-- figures:end -->)/;

const result: Results = (bench) => {
  const path = resolve(ROOT, "bench/results", `${bench}.json`);
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : undefined;
};

const before = readFileSync(README, "utf8");
if (!BLOCK.test(before)) throw new Error("README.md has no <!-- figures:start --> … <!-- figures:end --> block");
const after = before.replace(BLOCK, (_block, start: string, end: string) => `${start}${figures(result)}${end}`);

if (process.argv.includes("--check")) {
  if (after !== before) {
    console.error("README.md quotes old figures: node scripts/quote-figures.ts");
    process.exitCode = 1;
  }
} else {
  writeFileSync(README, after);
}
