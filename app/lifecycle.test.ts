import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../observability/system-clock.ts";
import { runLifecycle } from "./lifecycle.ts";
import type { Life, Running } from "./lifecycle.ts";

/** Signals go to this very process: without a listener they would end it, so that one is always there. */
function setUp(start: (life: Life) => Promise<Running>, { reloads = false } = {}) {
  const keep = () => {};
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    process.on(signal, keep);
    onTestFinished(() => void process.off(signal, keep));
  }
  const logged: string[] = [];
  const note = (_fields: unknown, message: string) => void logged.push(message);
  const logger = { debug: note, info: note, warn: note, error: note };
  const exitCode = runLifecycle({ graceMs: 1_000, reloads, clock: systemClock, logger }, start);
  return { logged, exitCode };
}

const never = () => new Promise<never>(() => {});

test("a signal while it runs stops it, with 0", async () => {
  const stopped: string[] = [];
  const { exitCode } = setUp(async ({ teardown }) => {
    teardown.add({ name: "part", share: 0.5, stop: () => void stopped.push("part") });
    setImmediate(() => process.kill(process.pid, "SIGTERM"));
    return { failed: never() };
  });
  expect([await exitCode, stopped]).toEqual([0, ["part"]]);
});

test("a part that hangs while it stops is cut and named, and the exit code is still 0", async () => {
  const { exitCode, logged } = setUp(async ({ teardown }) => {
    teardown.add({ name: "the ingestion log", share: 0.1, stop: never });
    setImmediate(() => process.kill(process.pid, "SIGINT"));
    return { failed: never() };
  });
  expect(await exitCode).toBe(0);
  expect(logged).toContain("this part did not stop in time and is cut");
});

test("a failure while it runs stops it, with 1", async () => {
  const { exitCode, logged } = setUp(async () => ({ failed: Promise.resolve(new Error("disk")) }));
  expect(await exitCode).toBe(1);
  expect(logged).toContain("PulseGate can't go on and stops");
});

test("a signal during the start ends the start, stops what had started, and says so, with 130", async () => {
  const stopped: string[] = [];
  const { exitCode, logged } = setUp(async ({ teardown, asked }) => {
    teardown.add({ name: "log", share: 0.2, stop: () => void stopped.push("log") });
    process.kill(process.pid, "SIGINT");
    await new Promise((resolve) => asked.addEventListener("abort", resolve));
    // A part that was on its way when the signal came is stopped as well.
    teardown.add({ name: "database", share: 0.2, stop: () => void stopped.push("database") });
    asked.throwIfAborted();
    return { failed: never() };
  });
  expect([await exitCode, stopped]).toEqual([130, ["database", "log"]]);
  expect(logged).toContain("stopping before everything has started");
});

test("a start that hears nothing is left behind", async () => {
  const stopped: string[] = [];
  const { exitCode, logged } = setUp(({ teardown }) => {
    teardown.add({ name: "log", share: 0.2, stop: () => void stopped.push("log") });
    process.kill(process.pid, "SIGTERM");
    return never();
  });
  expect([await exitCode, stopped]).toEqual([130, ["log"]]);
  expect(logged).toContain("this part did not stop in time and is cut");
});

test("what hinders the start is told after what had started was stopped", async () => {
  const stopped: string[] = [];
  const { exitCode } = setUp(async ({ teardown }) => {
    teardown.add({ name: "log", share: 0.2, stop: () => void stopped.push("log") });
    throw new Error("port taken");
  });
  await expect(exitCode).rejects.toThrow("port taken");
  expect(stopped).toEqual(["log"]);
});

test("SIGHUP without a file to read again changes nothing", async () => {
  const { exitCode, logged } = setUp(async () => {
    setImmediate(() => process.kill(process.pid, "SIGHUP"));
    process.once("SIGHUP", () => setImmediate(() => process.kill(process.pid, "SIGTERM")));
    return { failed: never() };
  });
  expect(await exitCode).toBe(0);
  expect(logged[0]).toBe("there is no configuration file to read again");
});
