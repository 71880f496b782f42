import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

/** A new empty folder, removed when the test ends. Ask for it before starting what lives in it: the last asked for ends first. */
export async function tempDir(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "pulsegate-test-"));
  onTestFinished(() => rm(dir, { recursive: true, force: true, maxRetries: 5 }));
  return dir;
}
