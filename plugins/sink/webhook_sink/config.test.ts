import { describe, expect, test } from "vitest";
import plugin from "./index.ts";

const SECRET = `whsec_${Buffer.alloc(32, 1).toString("base64")}`;
const GOOD = { url: "https://hooks.example.com/a?b=c", secrets: [SECRET] };

function problemOf(options: Record<string, unknown>): string {
  const { error } = plugin.config.safeParse({ ...GOOD, ...options });
  const [issue] = error?.issues ?? [];
  return issue === undefined ? "" : `${issue.path.join(".")}: ${issue.message}`;
}

describe("the options of webhook_sink", () => {
  test("have defaults for all but url and secrets", () => {
    expect(plugin.config.parse(GOOD)).toEqual({
      ...GOOD,
      body: "event",
      headers: {},
      concurrency: 16,
      timeout_ms: 15_000,
      allow: [],
    });
    expect(plugin.config.safeParse({ url: GOOD.url }).success).toBe(false);
    expect(plugin.config.safeParse({ secrets: GOOD.secrets }).success).toBe(false);
  });

  test.each([
    "ftp://example.com",
    "example.com",
    "https://user:pass@example.com",
    "https://example.com/#part",
    "https://",
  ])("refuse the url %s", (url) => {
    expect(problemOf({ url })).toMatch(/^url: must be a URL like/);
  });

  test.each([
    "https://127.0.0.1/",
    "https://2130706433/",
    "https://0x7f.1/",
    "https://169.254.169.254/latest/meta-data",
    "https://[::1]/",
    "https://[::ffff:10.0.0.1]/",
    "http://10.0.0.1/",
  ])("refuse the address in %s, however it is written", (url) => {
    expect(problemOf({ url })).toMatch(/is not a public address/);
  });

  test("take plain http to an allowed host only", () => {
    expect(problemOf({ url: "http://example.com/" })).toMatch(/^url: must be https/);
    expect(problemOf({ url: "http://hooks:3000/", allow: ["hooks"] })).toBe("");
    expect(problemOf({ url: "http://127.0.0.1:9000/", allow: ["127.0.0.0/8"] })).toBe("");
    expect(problemOf({ url: "http://[::1]:9000/", allow: ["::1"] })).toBe("");
  });

  test("refuse a mistyped network", () => {
    expect(problemOf({ allow: ["10.0.0.0/33"] })).toMatch(/^allow\.0: must be an address/);
  });

  test.each(["hunter2", "whsec_", "whsec_c2hvcnQ=", `whsec_${Buffer.alloc(65).toString("base64")}`, `${SECRET}!`])(
    "refuse the secret %s",
    (secret) => {
      expect(problemOf({ secrets: [secret] })).toMatch(/^secrets\.0: must be `whsec_`/);
    },
  );
});
