import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterEach, describe, expect, test, vi } from "vitest";
import { decodeEvent, encodeParts, stampReceivedAt } from "../../core/canonical/codec.ts";
import type { Logger } from "../../core/environment.ts";
import type { Isolation, PluginUse } from "../../core/ingestion/revision.ts";
import { systemClock } from "../../observability/system-clock.ts";
import type { CanonicalEvent, PluginContext, SinkOutcome, TransformOutcome } from "../../plugins/contract.ts";
import { findPlugin } from "../../plugins/registry.ts";
import { tempDir } from "../../tests/helpers/temp-dir.ts";
import { silentLogger } from "../../tests/helpers/worker-bench.ts";
import { Timers } from "../timers.ts";
import { guardedDefinition } from "./guarded.ts";
import type { GuardedTransform } from "./guarded-transform.ts";
import { CRASHES_MAX } from "./suspects.ts";

const MIB = 1024 * 1024;
const TIMEOUT_MS = 60_000;
const undo: (() => Promise<void>)[] = [];

afterEach(async () => {
  vi.unstubAllEnvs();
  for (const step of undo.splice(0).reverse()) await step();
});

const counted: string[] = [];

function deps() {
  const timers = new Timers(systemClock);
  undo.push(async () => timers.close());
  const pluginMetrics = () => ({ count: (name: string) => void counted.push(name), observe: () => undefined });
  return { timers, random: Math.random, logger: silentLogger, pluginMetrics, flights: undefined };
}

function useOf(fixture: string, isolation: Isolation): PluginUse {
  const url = new URL(`./${fixture}.fixture.ts`, import.meta.url).href;
  const name = fixture.replace("-", "_");
  return { name, config: {}, module: { source: url, url, digest: "0", version: "1.0.0" }, isolation };
}

const limits = { memoryBytes: 192 * MIB, deadlineMs: 500 };

async function transform(mode: Isolation["mode"], logger: Logger = silentLogger) {
  const use = useOf("naughty", { mode, ...limits });
  const plugin = guardedDefinition({ deps: { ...deps(), logger }, tenantId: "a", use, kind: "transform" }).create();
  undo.push(async () => plugin.close?.());
  await plugin.init?.({});
  return plugin;
}

async function sink(mode: Isolation["mode"]) {
  const use = useOf("naughty-sink", { mode, ...limits });
  const plugin = guardedDefinition({ deps: deps(), tenantId: "a", sink: "s", use, kind: "sink" }).create();
  undo.push(async () => plugin.close?.());
  await plugin.init?.({});
  return plugin;
}

function eventOf(id: string, what = ""): CanonicalEvent {
  const payload = Buffer.from(JSON.stringify({ do: what, big: 1 }).replace("1}", "12345678901234567890}"));
  const bytes = encodeParts({ eventId: id, tenantId: "a", eventType: "t", source: "http", payload });
  stampReceivedAt(bytes, 0);
  return decodeEvent(bytes);
}

function contextOf(attempt = 1, signal = new AbortController().signal): PluginContext {
  return { tenantId: "a", logger: silentLogger, metrics: { count() {}, observe() {} }, attempt, signal };
}

const outcomeOf = (outcome: PromiseSettledResult<TransformOutcome>) =>
  outcome.status === "rejected" ? outcome.reason : outcome.value;

describe.each(["process", "worker"] as const)("a transform in a %s of its own", (mode) => {
  test("gives the outcomes that the plugin gives, bytes and exceptions included", { timeout: TIMEOUT_MS }, async () => {
    const plugin = await transform(mode);
    const all = ["", "change", "drop", "throw", "nothing"].map((what, i) =>
      plugin.process(eventOf(`e${i}`, what), contextOf(4)),
    );
    const [same, changed, dropped, threw, nothing] = (await Promise.allSettled(all)).map(outcomeOf);
    expect(same).toMatchObject({ type: "ok", event: { event_id: "e0" } });
    expect(changed.event.payload).toMatchObject({ do: "change", attempt: 4 });
    expect(JSON.stringify(changed.event.payload)).toContain(`"big":12345678901234567890`);
    if (mode === "process") expect(changed.event.payload.pid).not.toBe(process.pid);
    expect(dropped).toEqual({ type: "drop", reason: "not wanted" });
    expect(threw).toMatchObject({ message: "a plain error", code: "E_PLAIN" });
    expect(nothing).toBeUndefined();
    expect(counted).toContain("seen");
  });

  test("says whose fault an answer is that is none", { timeout: TIMEOUT_MS }, async () => {
    const plugin = await transform(mode);
    await expect(plugin.process(eventOf("e", "list"), contextOf())).rejects.toThrow("whose payload is not an object");
    expect(await plugin.process(eventOf("e", "unsaid"), contextOf())).toEqual({ type: "drop", reason: "" });
  });

  test("passes on a hundred lines a second, each of a bounded length, and says that it does", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const lines: string[] = [];
    const keep = (fields: object, message: string) => void lines.push(JSON.stringify([fields, message]));
    const plugin = await transform(mode, { debug: keep, info: keep, warn: keep, error: keep });
    expect(await plugin.process(eventOf("e", "chatter"), contextOf())).toMatchObject({ type: "ok" });
    // The 5,000 lines take less than ten seconds on any machine.
    expect(lines.length).toBeLessThan(1_100);
    expect(lines.filter((line) => line.includes('"line"')).length).toBeGreaterThanOrEqual(100);
    expect(lines.filter((line) => line.includes("more than 100 lines a second")).length).toBeGreaterThan(0);
    expect(Math.max(...lines.map(({ length }) => length))).toBeLessThan(15_000);
  });

  test("tells each event's job, of several at once", { timeout: TIMEOUT_MS }, async () => {
    const plugin = await transform(mode);
    const jobs = ["replay-1", undefined, "replay-2"];
    const outcomes = await Promise.all(
      jobs.map((replayId, i) => plugin.process(eventOf(`e${i}`, "change"), { ...contextOf(), replayId })),
    );
    expect(outcomes.map((one) => one.type === "ok" && one.event.payload["replay"])).toEqual(jobs);
  });

  test("does not see the secrets in PulseGate's environment", { timeout: TIMEOUT_MS }, async () => {
    vi.stubEnv("ACME_SECRET", "s3cret");
    const plugin = await transform(mode);
    const outcome = await plugin.process(eventOf("e", "environment"), contextOf());
    const names = outcome.type === "ok" && outcome.event.payload["names"];
    expect(names).toContain("PATH");
    expect(names).not.toContain("ACME_SECRET");
  });

  const fatal =
    mode === "process"
      ? ["loop", "exit", "abort", "reject", "allocate", "heap", "never"]
      : ["loop", "exit", "reject", "heap", "never"];
  test.each(fatal)(
    "survives %s: only the guilty event fails, for good the third time",
    async (what) => {
      const plugin = await transform(mode);
      const ids = Array.from({ length: 20 }, (_, i) => `e${i}`);
      const outcomes = await Promise.all(
        ids.map((id) => plugin.process(eventOf(id, id === "e7" ? what : ""), contextOf())),
      );
      expect(outcomes.filter(({ type }) => type === "ok").length).toBe(19);
      const code = expect.stringMatching(/^plugin_(crashed|deadline|memory)$/);
      expect(outcomes[7]).toMatchObject({ type: "error", retryable: true, code });
      expect(await plugin.process(eventOf("e7", what), contextOf())).toMatchObject({ retryable: true });
      expect(await plugin.process(eventOf("e7", what), contextOf())).toMatchObject({
        type: "error",
        retryable: false,
        code,
        reason: expect.stringMatching(/^naughty@1\.0\.0 .*, 3 times with this event alone$/),
      });
      expect(await plugin.process(eventOf("e8"), contextOf())).toMatchObject({ type: "ok" });
    },
    TIMEOUT_MS,
  );
});

test("is killed for memory that it takes while nothing is asked of it", { timeout: TIMEOUT_MS }, async () => {
  const plugin = (await transform("process")) as GuardedTransform;
  const back = new Promise<void>((resolve) => {
    plugin.onBack = resolve;
  });
  expect(await plugin.process(eventOf("e", "hoard"), contextOf())).toMatchObject({ type: "ok" });
  await back;
});

test("an event that swells does not leave the plugin's process", { timeout: TIMEOUT_MS }, async () => {
  const plugin = await transform("process");
  await expect(plugin.process(eventOf("e", "swell"), contextOf())).rejects.toThrow(/swelled from \d+ to/);
});

test("what a plugin sends to its process's parent goes nowhere", { timeout: TIMEOUT_MS }, async () => {
  const plugin = await transform("process");
  expect(await plugin.process(eventOf("e", "send"), contextOf())).toMatchObject({ type: "ok" });
});

test("a message that makes no sense is the plugin's end, not its owner's", { timeout: TIMEOUT_MS }, async () => {
  const plugin = await transform("worker");
  expect(await plugin.process(eventOf("e", "send"), contextOf())).toMatchObject({ code: "plugin_crashed" });
  expect(await plugin.process(eventOf("f"), contextOf())).toMatchObject({ type: "ok" });
});

test("a built-in plugin runs apart as well", { timeout: TIMEOUT_MS }, async () => {
  const use = { name: "pii_scrubber", config: {}, isolation: { mode: "process", ...limits } } as const;
  const builtIn = findPlugin(use.name);
  const plugin = guardedDefinition({ deps: deps(), tenantId: "a", use, kind: "transform", builtIn }).create();
  undo.push(async () => plugin.close?.());
  await plugin.init?.(builtIn?.config?.parse({ rules: [{ path: "do" }] }));
  expect(await plugin.process(eventOf("e", "secret"), contextOf())).toMatchObject({
    type: "ok",
    event: { payload: { do: "***" } },
  });
});

test("process.abort() in a worker is an exception of the plugin's, not an end of the process", async () => {
  const plugin = await transform("worker");
  await expect(plugin.process(eventOf("e", "abort"), contextOf())).rejects.toThrow("not supported in workers");
});

describe("a sink in a process of its own", () => {
  test.each(["loop", "exit", "abort", "reject", "allocate"])(
    "survives %s: the batch is refused, then the event alone, for good the third time",
    async (what) => {
      const plugin = await sink("process");
      const batch = [eventOf("good"), eventOf("bad", what)];
      await expect(plugin.sendBatch?.(batch, contextOf())).rejects.toMatchObject({ name: "BatchRejected" });
      expect(await plugin.sendBatch?.([eventOf("good")], contextOf())).toEqual([{ type: "ok" }]);
      const outcomes: SinkOutcome[] = [];
      for (let i = 0; i < CRASHES_MAX; i++) outcomes.push(await plugin.send(eventOf("bad", what), contextOf()));
      expect(outcomes.map(({ type }) => type)).toEqual(["retry", "retry", "error"]);
      expect(await plugin.send(eventOf("good"), contextOf())).toEqual({ type: "ok" });
    },
    TIMEOUT_MS,
  );

  test("passes on that the target refused the batch", async () => {
    const plugin = await sink("process");
    const refused = { name: "BatchRejected", code: "E_REFUSED", message: "a bad row" };
    await expect(plugin.sendBatch?.([eventOf("a"), eventOf("b", "refuse")], contextOf())).rejects.toMatchObject(
      refused,
    );
  });

  test("is killed when a cancelled delivery does not end", { timeout: TIMEOUT_MS }, async () => {
    const plugin = await sink("process");
    const cancel = new AbortController();
    const delivery = plugin.sendBatch?.([eventOf("a", "never"), eventOf("b")], contextOf(1, cancel.signal));
    cancel.abort();
    await expect(delivery).rejects.toMatchObject({ name: "BatchRejected", code: "plugin_deadline" });
  });

  test("never delivers anything for good that it never could: a sink that has taken nothing is out", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const plugin = await sink("process");
    for (let i = 0; i <= CRASHES_MAX; i++)
      expect(await plugin.send(eventOf("bad", "exit"), contextOf())).toMatchObject({ type: "retry" });
  });
});

test(
  "counts the deaths of the whole process for the event that was with the plugin alone",
  async () => {
    const folder = await tempDir();
    const run = promisify(execFile);
    const args = [new URL("./flight.fixture.ts", import.meta.url).pathname, folder];
    let deaths = 0;
    const live = async (): Promise<string> => {
      try {
        return (await run(process.execPath, args)).stdout;
      } catch (error) {
        expect(error).toMatchObject({ code: 3 });
        deaths += 1;
        return deaths > CRASHES_MAX + 1 ? "too many" : live();
      }
    };
    // Once with its neighbours, three times alone; then it is not tried any more.
    expect(JSON.parse(await live())).toEqual([
      { type: "ok" },
      { type: "error", retryable: false, code: "plugin_crashed", reason: expect.stringContaining("3 times") },
      { type: "ok" },
    ]);
    expect(deaths).toBe(CRASHES_MAX + 1);
  },
  TIMEOUT_MS,
);

test("says while it is being started again that it is not up, and when it is back", {
  timeout: TIMEOUT_MS,
}, async () => {
  const plugin = (await transform("worker")) as GuardedTransform;
  const back = new Promise<void>((resolve) => {
    plugin.onBack = resolve;
  });
  expect(plugin.isUp).toBe(true);
  await plugin.process(eventOf("e", "exit"), contextOf());
  expect(plugin.isUp).toBe(false);
  await back;
  expect(plugin.isUp).toBe(true);
});
