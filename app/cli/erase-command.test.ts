import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { entryOf } from "../../tests/conformance/log-fixtures.ts";
import { type AdminGate, startAdminGate, TOKENS } from "../../tests/helpers/admin-gate.ts";
import { eraseEvents } from "./erase-command.ts";

const STREAM = { tenantId: "shop", partition: 0 };
const OPTIONS = { data: "none", tenant: "shop", reason: "asked for", yes: true };

let gate: AdminGate;

beforeEach(async () => {
  gate = await startAdminGate();
  vi.stubEnv("PULSEGATE_ADMIN_URL", gate.url);
  vi.stubEnv("PULSEGATE_ADMIN_TOKEN", TOKENS.admin);
  await gate.log.append(
    ["42", '"42"', '"a=b"'].map((n, i) => entryOf({ stream: STREAM, id: `e${i}`, payload: `{"who":{"n":${n}}}` })),
  );
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await gate.close();
});

async function erased(): Promise<number[]> {
  const entries = await gate.log.read(STREAM, 0, { entries: 10, bytes: 1e6 });
  return entries.filter(({ erasedAt }) => erasedAt !== undefined).map(({ sequence }) => sequence);
}

it.each([
  ["a number", "who.n=42", [0]],
  ["a text in quotes", 'who.n="42"', [1]],
  ["a text with a sign of its own", "who.n=a=b", [2]],
])("takes a subject's value as %s", async (_name, subject, expected) => {
  await eraseEvents([], { ...OPTIONS, subject });
  expect(await erased()).toEqual(expected);
});

it("erases ids alone, and nothing when nothing is named", async () => {
  await expect(eraseEvents([], OPTIONS)).rejects.toThrow("which events?");
  await expect(eraseEvents(["e1"], { ...OPTIONS, filter: "true" })).rejects.toThrow("ids are named alone");
  expect(await erased()).toEqual([]);
  await eraseEvents(["e1"], OPTIONS);
  expect(await erased()).toEqual([1]);
});
