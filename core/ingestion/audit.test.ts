import { expect, test } from "vitest";
import { openMemoryLog } from "../../drivers/memory/index.ts";
import { SimClock } from "../../tests/helpers/sim-clock.ts";
import { PulseGateError } from "../canonical/errors.ts";
import { AUDIT_ENTRIES_MAX, audited, auditEntries } from "./audit.ts";
import type { Intent } from "./audit.ts";
import { updateDocument } from "./control.ts";

const intent = (target: string, tenantId?: string): Intent => ({
  at: 1,
  who: { id: "night", role: "operator" },
  action: "pause_lane",
  target,
  tenantId,
});

function control() {
  return openMemoryLog({ clock: new SimClock() }).control;
}

test("an entry is there before the change begins, and has its outcome after", async () => {
  const store = control();
  const during: unknown[] = [];
  await audited(store, intent("lanes/a"), async () => {
    during.push(...(await auditEntries(store, { limit: 10 })));
    return { result: 1, after: { paused: true } };
  });
  expect(during).toMatchObject([{ target: "lanes/a", outcome: "unknown" }]);
  expect(await auditEntries(store, { limit: 10 })).toMatchObject([{ outcome: "done", after: { paused: true } }]);
});

test("a change that fails is kept as such, and its error is passed on", async () => {
  const store = control();
  const failing = audited(store, intent("lanes/a"), () => Promise.reject(new PulseGateError("conflict", "no")));
  await expect(failing).rejects.toMatchObject({ code: "conflict" });
  expect(await auditEntries(store, { limit: 10 })).toMatchObject([{ outcome: "failed", error: "conflict" }]);
});

test("entries come newest first, page by page, of one tenant if asked", async () => {
  const store = control();
  for (let i = 0; i < 6; i++) {
    await audited(store, intent(`t${i}`, i % 2 === 0 ? "a" : "b"), async () => ({ result: 0, after: undefined }));
  }
  const first = await auditEntries(store, { limit: 2 });
  expect(first.map(({ target }) => target)).toEqual(["t5", "t4"]);
  const second = await auditEntries(store, { limit: 2, before: first[1]?.sequence });
  expect(second.map(({ target }) => target)).toEqual(["t3", "t2"]);
  expect((await auditEntries(store, { limit: 9, tenantId: "a" })).map(({ target }) => target)).toEqual([
    "t4",
    "t2",
    "t0",
  ]);
});

test("entries that are made at the same time all stay", async () => {
  const store = control();
  const change = async () => ({ result: 0, after: undefined });
  await Promise.all(Array.from({ length: 20 }, (_, i) => audited(store, intent(`t${i}`), change)));
  const kept = await auditEntries(store, { limit: 100 });
  expect(new Set(kept.map(({ target }) => target)).size).toBe(20);
});

test("beyond the bound the oldest give way", async () => {
  const store = control();
  const change = async () => ({ result: 0, after: undefined });
  await audited(store, intent("first"), change);
  await updateDocument(store, "audit/head", { change: () => ({ next: AUDIT_ENTRIES_MAX }) });
  await audited(store, intent("last"), change);
  expect((await auditEntries(store, { limit: 10 })).map(({ target }) => target)).toEqual(["last"]);
});

test("an entry whose process died before it was written is a gap, not an older one again", async () => {
  const store = control();
  const change = async () => ({ result: 0, after: undefined });
  await audited(store, intent("first"), change);
  await updateDocument(store, "audit/head", { change: () => ({ next: AUDIT_ENTRIES_MAX + 1 }) });
  expect(await auditEntries(store, { limit: 10 })).toEqual([]);
});
