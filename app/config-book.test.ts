import { beforeEach, describe, expect, test } from "vitest";
import { loadText } from "../config/parse.ts";
import type { LoadedConfig, ParseResult } from "../config/parse.ts";
import type { RevisionDraft } from "../config/revision.ts";
import { PulseGateError } from "../core/canonical/errors.ts";
import type { ControlStore } from "../core/ingestion/log.ts";
import type { Revision } from "../core/ingestion/revision.ts";
import { openMemoryLog } from "../drivers/memory/index.ts";
import { PLUGINS } from "../plugins/registry.ts";
import { SimClock } from "../tests/helpers/sim-clock.ts";
import { ConfigBook } from "./config-book.ts";

const clock = new SimClock();
let control: ControlStore;
/** The text of what was applied last, by revision number. */
let runs: Revision[];

beforeEach(() => {
  control = openMemoryLog({ clock }).control;
  runs = [];
});

const text = (...ids: readonly string[]): string => `tenants:\n${ids.map((id) => `  - id: ${id}\n`).join("")}`;
/** As `pulsegate dev` does it: whoever applies something in these tests is an admin. */
async function parse(one: string): Promise<ParseResult> {
  const result = await loadText({ text: one, file: "p.yaml", plugins: PLUGINS, env: {}, mode: "production" });
  if (!result.ok) return result;
  const { config } = result;
  const admins = ["night", "day"].map((id) => ({ id, role: "admin" as const, sha256: "0".repeat(64) }));
  const ops = { ...config.settings.ops, tokens: [...config.settings.ops.tokens, ...admins] };
  return { ok: true, config: { ...config, settings: { ...config.settings, ops } } };
}

async function load(one: string): Promise<LoadedConfig> {
  const result = await parse(one);
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  return result.config;
}

/** A process that starts with this file. */
async function start(file: string): Promise<ConfigBook> {
  const options = { control, parse, plugins: PLUGINS, onSecrets: () => {}, clock };
  const book = await ConfigBook.open(options, await load(file));
  const apply = async (draft: RevisionDraft, expected = runs.length): Promise<Revision> => {
    if (expected !== runs.length) throw new PulseGateError("precondition_failed", "another is the newest");
    const revision = { ...draft, number: runs.length + 1 };
    runs.push(revision);
    return revision;
  };
  await apply(book.running.draft);
  const state = () => ({ revision: runs.length, appliedAt: 0, tenantIds: tenantsOf(runs.at(-1)) });
  await book.attach({ apply, state });
  return book;
}

function tenantsOf(revision: Revision | undefined): string[] {
  return revision?.tenants.map(({ id }) => id) ?? [];
}

describe("the newest change counts", () => {
  test("what was applied runs, and still runs after a restart with the same file", async () => {
    const book = await start(text("a"));
    await book.port.apply(text("a", "b"), "night");
    expect(tenantsOf(runs.at(-1))).toEqual(["a", "b"]);
    expect(book.port.state().origin).toBe("api");
    const again = await start(text("a"));
    expect(tenantsOf(runs.at(-1))).toEqual(["a", "b"]);
    expect(again.port.state().origin).toBe("api");
  });

  test("a file that was changed meanwhile wins at a restart", async () => {
    const book = await start(text("a"));
    await book.port.apply(text("a", "b"), "night");
    const again = await start(text("a", "c"));
    expect(tenantsOf(runs.at(-1))).toEqual(["a", "c"]);
    expect(again.port.state().origin).toBe("file");
  });

  test("a change of the file wins over what was applied, for good", async () => {
    const book = await start(text("a"));
    await book.port.apply(text("a", "b"), "night");
    await book.fileChanged(await load(text("a", "c")));
    expect(tenantsOf(runs.at(-1))).toEqual(["a", "c"]);
    await start(text("a", "c"));
    expect(tenantsOf(runs.at(-1))).toEqual(["a", "c"]);
  });

  test("a file that is only read again leaves what was applied", async () => {
    const book = await start(text("a"));
    await book.port.apply(text("a", "b"), "night");
    await book.fileChanged(await load(text("a")));
    expect(tenantsOf(runs.at(-1))).toEqual(["a", "b"]);
  });
});

describe("revisions", () => {
  test("are kept with who made them, and can be gone back to as a new one", async () => {
    const book = await start(text("a"));
    await book.port.apply(text("b"), "night");
    expect(await book.port.rollBack(1, "day")).toBe(3);
    expect(tenantsOf(runs.at(-1))).toEqual(["a"]);
    expect((await book.port.revisions()).map(({ number, origin, by }) => [number, origin, by])).toEqual([
      [3, "api", "day"],
      [2, "api", "night"],
      [1, "file", "start"],
    ]);
    await expect(book.port.rollBack(9, "day")).rejects.toMatchObject({ code: "not_found" });
  });

  test("are compared line by line, and show no secret", async () => {
    const secret = (value: string) => `${text("a")}ops: { admin_token: ${value} }\n`;
    const book = await start(secret("first-token-of-the-test"));
    await book.port.apply(secret("second-token-of-the-test"), "night");
    await book.port.apply(`${secret("second-token-of-the-test")}limits: { batch_events_max: 5 }\n`, "night");
    expect(await book.port.diff(1, 2)).toEqual({ text: "", secretsChanged: true });
    const diff = await book.port.diff(2, 3);
    expect(diff?.text).toContain("+limits: { batch_events_max: 5 }");
    expect(diff?.secretsChanged).toBe(false);
    expect((await book.port.revision(2))?.text).not.toContain("token-of-the-test");
    expect(await book.port.diff(1, 9)).toBeUndefined();
  });
});

test("a text that is not valid changes nothing and is told with every problem", async () => {
  const book = await start(text("a"));
  const bad = "tenants:\n  - id: a\n    keyz: []\n  - id: a\n";
  const refusal = book.port.apply(bad, "night");
  await expect(refusal).rejects.toMatchObject({ code: "invalid_config" });
  await expect(refusal).rejects.toMatchObject({
    violations: [{ detail: expect.stringContaining("p.yaml:3:5") }, { detail: expect.stringContaining("p.yaml:4:") }],
  });
  expect(runs).toHaveLength(1);
  expect(await book.port.validate(bad)).toHaveLength(2);
  expect(await book.port.validate(text("b"))).toEqual([]);
});

test("of many who have seen the same revision, one is let through", async () => {
  const book = await start(text("a"));
  const tries = Array.from({ length: 20 }, (_, i) => book.port.apply(text("a", `b${i}`), "night", 1));
  const codes = (await Promise.allSettled(tries)).map((one) => (one.status === "rejected" ? one.reason.code : "done"));
  expect(codes.filter((code) => code === "done")).toHaveLength(1);
  expect(codes.filter((code) => code === "precondition_failed")).toHaveLength(19);
  expect(book.port.state().revision).toBe(2);
  const fitting = await book.port.rollBack(1, "day", 2);
  expect(fitting).toBe(3);
  await expect(book.port.rollBack(1, "day", 2)).rejects.toMatchObject({ code: "precondition_failed" });
});

test("nobody can apply a configuration that would lock them out", async () => {
  const book = await start(text("a"));
  await expect(book.port.apply(text("b"), "stranger")).rejects.toMatchObject({ code: "conflict" });
  const demoted = `${text("b")}ops: { tokens: [{ id: stranger, role: operator, sha256: "${"1".repeat(64)}" }] }\n`;
  await expect(book.port.apply(demoted, "stranger")).rejects.toMatchObject({ code: "conflict" });
  expect(runs).toHaveLength(1);
});

test("what a gateway can't take is not kept as applied", async () => {
  const book = await start(text("a"));
  await book.attach({
    apply: () => Promise.reject(new Error("partitions can't be lowered")),
    state: () => ({ revision: 1, appliedAt: 0, tenantIds: ["a"] }),
  });
  await expect(book.port.apply(text("b"), "night")).rejects.toThrow("lowered");
  expect(book.port.state().origin).toBe("file");
  const again = await start(text("a"));
  expect(again.port.state().origin).toBe("file");
});

describe("another process", () => {
  test("what it applied runs here as well, once, as its own revision", async () => {
    const [here, there] = [await start(text("a")), await start(text("a"))];
    await there.port.apply(text("a", "b"), "night");
    const before = runs.length;
    expect(await here.follow()).toBe(before + 1);
    expect(tenantsOf(runs.at(-1))).toEqual(["a", "b"]);
    expect(here.port.state().origin).toBe("api");
    expect(await here.follow()).toBeUndefined();
    expect(await there.follow()).toBeUndefined();
    expect(runs).toHaveLength(before + 1);
  });

  test("what can't be read here is refused once, and what runs stays", async () => {
    const [here, there] = [await start(text("a")), await start(text("a"))];
    await there.port.apply(text("a", "b"), "night");
    const document = await control.get("config/applied");
    const unfit = { ...(document?.value as object), text: "tenants: [{ id: '' }]" };
    await control.put("config/applied", unfit, document?.version ?? 0);
    await expect(here.follow()).rejects.toThrow("the configuration has a problem");
    expect(await here.follow()).toBeUndefined();
    expect(tenantsOf({ ...runs[0] } as Revision)).toEqual(["a"]);
  });

  test("what it applied over another file does not count here", async () => {
    const [here, there] = [await start(text("a")), await start(text("z"))];
    await there.port.apply(text("a", "b"), "night");
    expect(await here.follow()).toBeUndefined();
  });
});
