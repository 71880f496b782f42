import { expect, test } from "vitest";
import { PLUGINS } from "../plugins/registry.ts";
import { maskedText } from "./mask.ts";
import { parseConfig } from "./parse.ts";

const TEXT = `# The password is hunter2-of-shop, says a careless comment.
ops: { port: 0, admin_token: an-admin-token-of-some-length }
tenants:
  - id: shop
    keys: [{ id: web, key: "plain-key" }]
    plugins:
      sinks:
        - name: postgres_sink
          config:
            url: 'postgres://u:pass@db.internal:5432/shop'
        - name: postgres_sink
          id: second
          config: { host: db, user: u, password: hunter2-of-shop }
        - name: postgres_sink
          id: third
          config: { url: "\${DATABASE_URL}" }
`;

function masked(text: string): string {
  const env = { DATABASE_URL: "postgres://u:from-the-environment@db:5432/x" };
  const result = parseConfig({ text, file: "p.yaml", plugins: PLUGINS, env, mode: "dev" });
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  return maskedText(result.config, PLUGINS);
}

test("masks what a schema calls secret, in the file's and in plugins' options, and wherever it is repeated", () => {
  const text = masked(TEXT);
  for (const secret of ["hunter2", "an-admin-token", "plain-key", "u:pass@", "from-the-environment"]) {
    expect(text).not.toContain(secret);
  }
});

test("keeps everything else as it was written: comments, order, quotes, what stands for the environment", () => {
  const text = masked(TEXT);
  expect(text.split("\n")).toHaveLength(TEXT.split("\n").length);
  expect(text).toContain("# The password is [secret], says a careless comment.");
  expect(text).toContain('url: "[secret]"');
  expect(text).toContain('{ host: db, user: u, password: "[secret]" }');
  expect(text).toContain('config: { url: "${DATABASE_URL}" }');
});

test("asks for a plugin's schema once, however many tenants use it", () => {
  const tenants = Array.from(
    { length: 300 },
    (_, n) => `  - { id: t${n}, keys: [{ id: k, key: key-of-${n} }], ${SINKS} }`,
  );
  const text = `tenants:\n${tenants.join("\n")}\n`;
  const result = parseConfig({ text, file: "p.yaml", plugins: PLUGINS, env: {}, mode: "dev" });
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  let asked = 0;
  const counting = PLUGINS.map((plugin) => ({
    ...plugin,
    get config() {
      asked++;
      return plugin.config;
    },
  }));
  expect(maskedText(result.config, counting)).not.toContain("key-of-");
  expect(asked).toBe(1);
});

const SINKS = "plugins: { sinks: [{ name: file_sink, config: { path: /tmp/out } }] }";
