import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { staleFiles, writePages } from "./generate-reference.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pulsegate-reference-"));
  await writePages(folder);
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

test("pages that were just written are current", async () => {
  expect(await staleFiles(folder)).toEqual([]);
});

test("names what is changed, missing or not made from a source", async () => {
  await writeFile(join(folder, "metrics.md"), "old");
  await rm(join(folder, "cli.md"));
  await writeFile(join(folder, "extra.md"), "");
  expect(await staleFiles(folder)).toEqual(["cli.md", "extra.md", "metrics.md"]);
});
