import { cp, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { z } from "zod";
import { beforeEach, describe, expect, test } from "vitest";
import { tempDir } from "../../tests/helpers/temp-dir.ts";
import type { TransformDefinition } from "../contract.ts";
import { transformChecks } from "./transform.ts";

const definition: TransformDefinition = {
  kind: "transform",
  name: "same",
  version: "1.0.0",
  summary: "Passes events on.",
  config: z.object({ key: z.string().min(16).default("0123456789abcdef").describe("A key.") }),
  create: () => ({ name: "same", version: "1.0.0", process: async (event) => ({ type: "ok", event }) }),
};

let folder: string;

beforeEach(async () => {
  folder = join(await tempDir(), "golden");
  await mkdir(folder);
});

/** The messages of the checks that are not kept. */
async function faults(configs: readonly unknown[] = [{}]): Promise<string[]> {
  const checks = transformChecks({ definition, configs, golden: pathToFileURL(`${folder}/`) });
  const ends = await Promise.allSettled(checks.map(({ run }) => run()));
  return ends.flatMap((end) => (end.status === "rejected" ? [(end.reason as Error).message] : []));
}

const EVENT = {
  received_at: "2025-03-01T12:00:00.000Z",
  occurred_at: "2025-03-01T12:00:00.000Z",
  event_id: "event-1",
  tenant_id: "tenant_shop_1",
  source: "http",
  event_type: "order_paid",
  payload: { n: 1 },
};

async function pair(expected: unknown): Promise<void> {
  await writeFile(join(folder, "a.input.json"), JSON.stringify({ event: EVENT }));
  await writeFile(join(folder, "a.expected.json"), `${JSON.stringify(expected, null, 2)}\n`);
}

describe("golden files", () => {
  test("that are pairs, and come out as they are, pass", async () => {
    await pair({ type: "ok", event: EVENT });
    expect(await faults()).toEqual([]);
  });

  test("that say something else are stale", async () => {
    await pair({ type: "ok", event: { ...EVENT, payload: { n: 2 } } });
    expect(await faults()).toEqual([expect.stringContaining("a.expected.json is not what comes out")]);
  });

  test("that lost their input, or never had one, are found", async () => {
    await pair({ type: "ok", event: EVENT });
    await cp(join(folder, "a.expected.json"), join(folder, "b.expected.json"));
    expect(await faults()).toEqual([expect.stringContaining("goes with b.expected.json")]);
    await rm(join(folder, "a.input.json"));
    expect(await faults()).toEqual([expect.stringContaining("has no NAME.input.json")]);
  });
});

test("options that the plugin's own schema refuses are found, also where it has no init", async () => {
  await pair({ type: "ok", event: EVENT });
  expect(await faults([{ key: "short" }])).toEqual([
    expect.stringContaining(">=16 characters"),
    expect.stringContaining(">=16 characters"),
  ]);
});
