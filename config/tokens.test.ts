import { expect, test } from "vitest";
import { parse, problemsOf } from "../tests/helpers/config-fixtures.ts";
import { changedSettings } from "./revision.ts";

const SHA = "0F".repeat(32);
const tokens = (...lines: readonly string[]): string =>
  `ops:\n  tokens:\n${lines.map((line) => `    - ${line}\n`).join("")}tenants:\n  - id: shop\n`;

function settingsOf(text: string, mode: "dev" | "production" = "production") {
  const result = parse(text, { mode });
  if (!result.ok) throw new Error(problemsOf(text, { mode }).join("\n"));
  return result.config.settings;
}

test("tokens have a role, and a tenant if they are for one alone", () => {
  const text = tokens(
    `{ id: night, role: operator, sha256: ${SHA} }`,
    `{ id: team, role: admin, tenant: shop, sha256: ${"ab".repeat(32)} }`,
  );
  expect(settingsOf(text).ops.tokens).toEqual([
    { id: "night", role: "operator", tenantId: undefined, sha256: SHA.toLowerCase() },
    { id: "team", role: "admin", tenantId: "shop", sha256: "ab".repeat(32) },
  ]);
});

test("admin_token is a token with all rights beside them", () => {
  const [own] = settingsOf("ops: { admin_token: a-token-of-some-length }").ops.tokens;
  expect(own).toMatchObject({ id: "admin_token", role: "admin" });
  expect(own?.sha256).toMatch(/^[0-9a-f]{64}$/);
});

test.each([
  [
    "a token in plain text, for production",
    "{ id: a, role: viewer, token: a-token-of-some-length }",
    "for `pulsegate dev` only",
  ],
  ["both forms", `{ id: a, role: viewer, token: a-token-of-some-length, sha256: ${SHA} }`, "for `pulsegate dev` only"],
  ["neither form", "{ id: a, role: viewer }", '"sha256" is missing'],
  [
    "a tenant that the file does not have",
    `{ id: a, role: viewer, tenant: none, sha256: ${SHA} }`,
    'there is no tenant "none"',
  ],
  ["a role that there is not", `{ id: a, role: root, sha256: ${SHA} }`, "role"],
])("refuses %s, at its place", (_name, line, words) => {
  const problems = problemsOf(tokens(line));
  expect(problems).toHaveLength(1);
  expect(problems[0]).toMatch(/:3:\d+: /);
  expect(problems[0]).toContain(words);
});

test("two tokens can't have one id", () => {
  const line = `{ id: a, role: viewer, sha256: ${SHA} }`;
  expect(problemsOf(tokens(line, line)).join()).toContain("the same token id");
});

test("in dev a token may stand in plain text, and it is a secret", () => {
  const text = tokens("{ id: a, role: viewer, token: a-token-of-some-length }");
  expect(settingsOf(text, "dev").ops.tokens).toMatchObject([{ id: "a", role: "viewer" }]);
  const result = parse(text, { mode: "dev" });
  expect(result.ok && result.config.secrets).toContain("a-token-of-some-length");
});

test("other tokens need no restart", () => {
  const before = settingsOf(tokens(`{ id: a, role: viewer, sha256: ${SHA} }`));
  expect(changedSettings(before, { ...before, ops: { ...before.ops, tokens: [] } })).toEqual([]);
});
