import { Writable } from "node:stream";
import { describe, expect, test, vi } from "vitest";
import { createLogger } from "./logger.ts";
import type { LoggerOptions } from "./logger.ts";

function capture(options: LoggerOptions = {}) {
  const lines: string[] = [];
  const destination = new Writable({
    write(line: Buffer, _encoding, done) {
      lines.push(line.toString());
      done();
    },
  });
  const logger = createLogger({ ...options, destination });
  return { logger, lines, last: () => JSON.parse(lines.at(-1) ?? "null") };
}

describe("lines", () => {
  test("one event is one JSON line with time, level, trace_id and tenant_id", () => {
    const { logger, lines, last } = capture({ fields: { role: "all" } });
    logger.info({ tenantId: "shop", traceId: "abc", n: 1 }, "hello\nworld");
    expect(lines[0]?.trimEnd().includes("\n")).toBe(false);
    expect(last()).toEqual({
      level: "info",
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      role: "all",
      tenant_id: "shop",
      trace_id: "abc",
      n: 1,
      msg: "hello\nworld",
    });
  });

  test("a logger with fields adds them to each line", () => {
    const { logger, last } = capture();
    logger.with({ tenantId: "shop" }).warn({ sink: "raw" }, "slow");
    expect(last()).toMatchObject({ level: "warn", tenant_id: "shop", sink: "raw" });
  });

  test("what is below the level is not written", () => {
    const { logger, lines } = capture({ level: "warn" });
    logger.info({}, "no");
    logger.error({}, "yes");
    expect(lines).toHaveLength(1);
  });

  test("an error is told with code, cause and stack, and nothing that a driver hung on it", () => {
    const { logger, last } = capture();
    const cause = Object.assign(new Error("duplicate key"), { code: "23505", detail: "Key (email)=(a@b.c) exists" });
    logger.error({ error: new Error("delivery failed", { cause }) }, "x");
    expect(last().error).toMatchObject({
      message: "delivery failed",
      cause: { message: "duplicate key", code: "23505" },
    });
    expect(JSON.stringify(last())).not.toContain("a@b.c");
  });

  test("cyclic, deep and odd values do not break a line", () => {
    const { logger, last } = capture();
    const cyclic: Record<string, unknown> = { big: 10n, date: new Date(0), nothing: undefined };
    cyclic.self = cyclic;
    logger.info({ cyclic }, "x");
    expect(last().cyclic).toMatchObject({ big: "10", date: "1970-01-01T00:00:00.000Z" });
  });

  test("lines for people hold the same, and no secret either", async () => {
    const { logger, lines } = capture({ pretty: true });
    logger.addSecrets(["canary-secret"]);
    logger.info({ tenant_id: "shop", url: "x canary-secret" }, "hello canary-secret");
    await vi.waitFor(() => expect(lines.join("")).toMatch(/INFO.*hello/));
    expect(lines.join("")).toContain("shop");
    expect(lines.join("")).not.toContain("canary");
  });
});

describe("redaction", () => {
  const canary = "canary-5EcR3t";

  test.each([
    ["a password", { password: canary }],
    ["a token deep inside", { a: { b: [{ adminToken: canary }] } }],
    ["an API key header", { headers: { "x-api-key": canary, authorization: `Bearer ${canary}` } }],
    ["a cookie", { cookie: canary }],
    ["a payload", { payload: { email: canary } }],
    ["a body", { body: canary }],
    ["bytes", { raw: Buffer.from(canary) }],
    ["the password of a URL", { url: `postgres://app:${canary}@db/app` }],
    ["the password of a URL in an error", { error: new Error(`can't reach postgres://app:${canary}@db/app`) }],
    ["a bearer token in a text", { note: `Authorization: Bearer ${canary}` }],
  ])("never writes %s", (_name, fields) => {
    const { logger, lines } = capture();
    logger.info(fields, "x");
    logger.with(fields).info({}, "x");
    expect(lines.join("")).not.toContain(canary);
    expect(lines.join("")).not.toContain(Buffer.from(canary).toString("hex"));
    expect(lines.join("")).not.toContain([...Buffer.from(canary)].join(","));
  });

  test("blots out configured secrets wherever they turn up, quotes and all", () => {
    const { logger, lines } = capture();
    const secret = `pa"ss\\wo${canary}`;
    logger.addSecrets([secret]);
    logger.info({ note: `it is ${secret}`, error: new Error(secret) }, `saw ${secret}`);
    expect(lines.join("")).not.toContain(canary);
    expect(() => JSON.parse(lines[0] ?? "")).not.toThrow();
  });

  test("an API key shows its id alone", () => {
    const { logger, lines } = capture();
    logger.info({ note: `pgk_web_${"A".repeat(43)} was used` }, "x");
    expect(lines[0]).toContain("pgk_web_[redacted] was used");
  });

  test("leaves alone what is no secret", () => {
    const { logger, last } = capture();
    const fields = { key_id: "web", events: 12, bytes: 100, sink: "raw", url: "http://127.0.0.1:8080/v1/events" };
    logger.info(fields, "x");
    expect(last()).toMatchObject(fields);
  });
});
