import { parse as parseYaml } from "yaml";
import { expect, test } from "vitest";
import { FOUNDING, parse } from "../tests/helpers/config-fixtures.ts";
import webhookSink from "../plugins/sink/webhook_sink/index.ts";
import { explain, explainText } from "./explain.ts";

const CANARY = "postgres://app:canary@db/app";

function explained(text: string, env: Record<string, string> = {}) {
  const pluginDefaults = { postgres_sink: { url: CANARY } };
  const result = parse(text, { env, pluginDefaults });
  if (!result.ok) throw new Error(result.problems.map((problem) => problem.message).join("\n"));
  return { config: result.config, pluginDefaults };
}

test("shows every setting in effect and where it comes from", () => {
  const all = new Map(explain(explained(`${FOUNDING}http: { port: 9 }\n`)).map((one) => [one.path, one]));
  expect(all.get("http.port")).toMatchObject({ value: 9, origin: "pulsegate.yaml:14" });
  expect(all.get("http.host")).toMatchObject({ value: "127.0.0.1", origin: "default" });
  expect(all.get("tenants[0].plugins.sinks[0].retry.backoff")).toMatchObject({ value: "200ms..1m", origin: "default" });
  expect(all.get("tenants[0].plugins.sinks[0].config.table")).toMatchObject({ origin: "pulsegate.yaml:10" });
  expect(all.get("tenants[0].plugins.sinks[0].config.pool")).toMatchObject({ value: 4, origin: "default" });
});

test("never shows a secret, however it came in", () => {
  const text = `ops: { admin_token: canary-canary-canary }
tenants:
  - id: a
    plugins:
      sinks:
        - { name: postgres_sink, id: own, config: { url: "postgres://canary" } }
        - { name: postgres_sink, id: env, config: { url: "\${DB}", table: "\${TABLE}" } }
        - { name: postgres_sink, id: given }
`;
  const options = explained(text, { DB: "postgres://canary", TABLE: "canary" });
  expect(explainText(options)).not.toContain("canary");
  expect(JSON.stringify(explain(options))).not.toContain("canary");
  expect(explainText(options)).toContain('table: "${TABLE}"');
});

test("masks the secrets of a mapping whose names are free", () => {
  const secret = `whsec_${"A".repeat(32)}`;
  const text = `tenants:
  - id: a
    plugins:
      sinks:
        - { name: webhook_sink, config: { url: "https://canary.example", secrets: [${secret}], headers: { x: canary } } }
`;
  const result = parse(text, { plugins: [webhookSink] });
  if (!result.ok) throw new Error(result.problems.map((problem) => problem.message).join("\n"));
  const shown = explainText({ config: result.config });
  expect(shown).toMatch(/x: "\[secret\]"/);
  expect(shown).not.toMatch(/canary|AAAA/);
  expect(result.config.secrets).toEqual(expect.arrayContaining([secret, "canary", "https://canary.example"]));
});

test("is itself a valid file that means the same", () => {
  const options = explained(`${FOUNDING}limits: { event_bytes_max: 2MiB }\n`);
  const shown = explainText(options).replaceAll("[secret]", CANARY);
  const again = parse(shown);
  expect(again).toMatchObject({ ok: true, config: { draft: options.config.draft } });
  expect(parseYaml(shown)).toMatchObject({ version: 1 });
});
