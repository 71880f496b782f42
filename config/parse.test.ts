import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FOUNDING, parse, problemsOf } from "../tests/helpers/config-fixtures.ts";
import { loadConfig } from "./parse.ts";
import type { LoadedConfig, ParseOptions } from "./parse.ts";
import { changedSettings } from "./revision.ts";

const URL = "postgres://app:canary-5EcR3t@db/app";
const withDatabase = { pluginDefaults: { postgres_sink: { url: URL } } };
const SHA = "0f".repeat(32);

function valid(text: string, options: Partial<ParseOptions> = {}): LoadedConfig {
  const result = parse(text, options);
  if (!result.ok) throw new Error(problemsOf(text, options).join("\n"));
  return result.config;
}

const sinkWith = (lines: string): string => `tenants:
  - id: a
    plugins:
      sinks:
        - name: postgres_sink
${lines.replace(/^/gm, "          ")}
`;

describe("a valid file", () => {
  test("the founding tenants block stands as it is", () => {
    const { draft } = valid(FOUNDING, withDatabase);
    expect(draft.tenants).toEqual([
      {
        id: "tenant_shop_1",
        keys: [],
        partitions: 1,
        weight: 1,
        transforms: [
          { name: "geoip_enricher", config: undefined },
          { name: "pii_scrubber", config: undefined },
        ],
        sinks: [
          expect.objectContaining({
            id: "postgres_sink",
            name: "postgres_sink",
            config: { url: URL, table: "events_raw", pool: 4, tls: false, mode: "json" },
            retry: { attempts: 10, backoffMinMs: 200, backoffMaxMs: 60_000, timeoutMs: 30_000 },
          }),
          expect.objectContaining({ id: "kafka_sink", config: { topic: "analytics_events" } }),
        ],
      },
    ]);
  });

  test("one that says nothing but its version has every default", () => {
    const { draft, settings } = valid("version: 1");
    expect(draft.tenants).toEqual([]);
    expect(draft.limits.eventBytesMax).toBe(2 ** 20);
    expect(settings).toMatchObject({
      http: { host: "127.0.0.1", port: 8080 },
      ops: { host: "127.0.0.1", port: 8081, tokens: [] },
      log: {
        driver: "embedded",
        retention: { ageMs: 7 * 86_400_000, bytesMax: undefined, deadLetterAgeMs: undefined, whenFull: "refuse" },
        diskBytesMax: undefined,
        dedupWindowMs: 86_400_000,
      },
    });
  });

  test("what is kept is said for all tenants, and by each tenant for itself", () => {
    const text = `log:
  retention: 2d
  retention_bytes: 20GiB
  dead_letters: { age: 30d }
  disk_bytes_max: 200GiB
  when_full: drop_oldest
tenants:
  - id: a
    retention: { age: 2h, bytes: 1GiB, when_full: refuse }
    dead_letters: { age: 90d }
  - id: b
    retention: { bytes: 5MiB }
`;
    const { draft, settings } = valid(text);
    expect(settings.log).toMatchObject({
      retention: {
        ageMs: 172_800_000,
        bytesMax: 20 * 2 ** 30,
        deadLetterAgeMs: 2_592_000_000,
        whenFull: "drop_oldest",
      },
      diskBytesMax: 200 * 2 ** 30,
    });
    expect(draft.tenants.map(({ retention }) => retention)).toEqual([
      { ageMs: 7_200_000, bytesMax: 2 ** 30, deadLetterAgeMs: 7_776_000_000, whenFull: "refuse" },
      { bytesMax: 5 * 2 ** 20 },
    ]);
  });

  test("a revision is plain data that can be posted to a thread", () => {
    const { draft } = valid(FOUNDING, withDatabase);
    expect(structuredClone(draft)).toEqual(draft);
  });

  test("an option given in the file wins over one given at start", () => {
    const { draft } = valid(sinkWith("config: { url: 'postgres://own/x' }"), withDatabase);
    expect(draft.tenants[0]?.sinks[0]?.config).toMatchObject({ url: "postgres://own/x" });
  });

  test("keys in plain text are hashed, in dev", () => {
    const { draft, secrets } = valid("tenants: [{ id: a, keys: [{ id: web, key: demo }] }]", { mode: "dev" });
    expect(draft.tenants[0]?.keys).toEqual([
      { id: "web", sha256: "2a97516c354b68848cdbd8f54a226a0a55b21ed138e207ad6c5cbb9c00aa5aea" },
    ]);
    expect(secrets).toContain("demo");
  });

  test("anchors and aliases share settings", () => {
    const text = `tenants:
  - id: a
    plugins: &same { sinks: [{ name: kafka_sink, config: { topic: t } }] }
  - { id: b, plugins: *same }
`;
    expect(valid(text).draft.tenants.map((tenant) => tenant.sinks[0]?.config)).toEqual([
      { topic: "t" },
      { topic: "t" },
    ]);
  });
});

describe("a wrong file", () => {
  test("is told where a rule of retention is not one", () => {
    const text = `log:
  disk_bytes_max: 100MiB
  when_full: drop_newest
  dead_letters: { age: 30 }
tenants:
  - id: a
    retention: { age: 2h, bytes: many, days: 3 }
`;
    expect(problemsOf(text)).toEqual([
      "pulsegate.yaml:2:19: log.disk_bytes_max: must be between 1GiB and 1024TiB",
      'pulsegate.yaml:3:14: log.when_full: expected one of "refuse"|"drop_oldest"',
      "pulsegate.yaml:4:24: log.dead_letters.age: expected a time with its unit, like 500ms, 30s, 5m, 2h or 7d",
      "pulsegate.yaml:7:34: tenants[0].retention.bytes: expected a size, like 512KiB, 10MiB, 1GB or a whole number of bytes",
      'pulsegate.yaml:7:40: tenants[0].retention: unknown key "days" (known: age, bytes, when_full)',
    ]);
  });

  test("that bounds files where Redis keeps the events says what bounds those", () => {
    const text = "log:\n  driver: redis\n  url: redis://127.0.0.1:6379\n  disk_bytes_max: 2GiB\n";
    expect(problemsOf(text)).toEqual([
      "pulsegate.yaml:4:19: log.disk_bytes_max: bounds the files of the embedded log; Redis bounds its memory itself (take it out, set `maxmemory` and `maxmemory-policy noeviction` in Redis, and bound tenants by log.retention_bytes)",
    ]);
  });

  test("is told whole, in the order of the file, each with place and what to do", () => {
    const text = `version: 2
htttp: {}
log: { driver: redis, retention: 30 }
limits:
  event_bytes_max: 10 Mib
tenants:
  - id: a b
    quota: { events_per_second: 10/s, burst: 5, bytes_per_second: 1 parsec, bytes_burst: 1MiB, requests: 0 }
    keys:
      - id: web
      - id: web
        sha256: nonsense
    plugins:
      sinks:
        - nam: x
        - name: postgres_snk
        - name: postgres_sink
          when: event.kind == "x"
          retry: { backoff: 2m..1m, attempts: many }
          config: { tabel: 1, url: 5 }
        - name: postgres_sink
  - 7
`;
    expect(problemsOf(text)).toEqual([
      "pulsegate.yaml:1:10: version: only version 1 is known",
      'pulsegate.yaml:2:1: unknown key "htttp" (did you mean "http"?)',
      "pulsegate.yaml:3:16: log.driver: the driver redis needs to know where Redis is (add log.url: redis://host:6379)",
      "pulsegate.yaml:3:34: log.retention: expected a time with its unit, like 500ms, 30s, 5m, 2h or 7d",
      "pulsegate.yaml:5:20: limits.event_bytes_max: expected a size, like 512KiB, 10MiB, 1GB or a whole number of bytes",
      "pulsegate.yaml:7:9: tenants[0].id: expected 1 to 128 letters, digits, _ . : or -",
      "pulsegate.yaml:8:46: tenants[0].quota.burst: must be at least events_per_second (10)",
      "pulsegate.yaml:8:67: tenants[0].quota.bytes_per_second: expected bytes per second, like 10MiB/s or 512KiB",
      "pulsegate.yaml:8:106: tenants[0].quota.requests: must be a whole number between 1 and 1000000",
      'pulsegate.yaml:10:9: tenants[0].keys[0]: "sha256" is missing (`pulsegate keys create` makes a key and prints the line)',
      "pulsegate.yaml:11:13: tenants[0].keys[1].id: the same key id as tenants[0].keys[0] (each key of a tenant needs an id of its own)",
      "pulsegate.yaml:12:17: tenants[0].keys[1].sha256: expected the key's SHA-256 as 64 hexadecimal digits; `pulsegate keys create` prints it",
      'pulsegate.yaml:15:11: tenants[0].plugins.sinks[0]: "name" is missing (add it)',
      'pulsegate.yaml:15:11: tenants[0].plugins.sinks[0]: unknown key "nam" (did you mean "name"?)',
      'pulsegate.yaml:16:17: tenants[0].plugins.sinks[1]: unknown sink "postgres_snk" (did you mean "postgres_sink"?)',
      "pulsegate.yaml:18:23: tenants[0].plugins.sinks[2].when: No such key: kind (docs/routing.md shows what a condition may say)",
      "pulsegate.yaml:19:29: tenants[0].plugins.sinks[2].retry.backoff: the first time must not be longer than the second",
      "pulsegate.yaml:19:47: tenants[0].plugins.sinks[2].retry.attempts: expected a whole number",
      'pulsegate.yaml:20:21: tenants[0].plugins.sinks[2].config: unknown key "tabel" (did you mean "table"?)',
      "pulsegate.yaml:20:36: tenants[0].plugins.sinks[2].config.url: expected string, received number; put it in quotes",
      'pulsegate.yaml:21:11: tenants[0].plugins.sinks[3].config: "url" is missing (add it)',
      'pulsegate.yaml:21:11: tenants[0].plugins.sinks[3]: the same sink id "postgres_sink" as tenants[0].plugins.sinks[2] (give it an `id:` of its own, which names its lane)',
      "pulsegate.yaml:22:5: tenants[1]: expected object, received number",
    ]);
  });

  test.each([
    ["two tenants of one id", "tenants: [{ id: a }, { id: a }]", /tenants\[1\].id: the same tenant id as tenants\[0\]/],
    [
      "one key for two tenants",
      `tenants: [{ id: a, keys: [{ id: k, sha256: ${SHA} }] }, { id: b, keys: [{ id: k, sha256: ${SHA.toUpperCase()} }] }]`,
      /the same key sha256 as tenants\[0\].keys\[0\]/,
    ],
    ["a key in plain text", "tenants: [{ id: a, keys: [{ id: k, key: demo }] }]", /for `pulsegate dev` only/],
    [
      "a sink among transforms",
      "tenants: [{ id: a, plugins: { transform: [{ name: kafka_sink }] } }]",
      /is not a transform/,
    ],
    [
      "options for a plugin without",
      "tenants: [{ id: a, plugins: { transform: [{ name: pii_scrubber, config: { a: 1 } }] } }]",
      /has no options/,
    ],
    ["options that are no mapping", sinkWith("config: [1]"), /expected a mapping of the plugin's options/],
    ["a weight of nought", "tenants: [{ id: a, weight: 0 }]", /tenants\[0\]\.weight: /],
    ["a list at the top", "- 1", /expected object, received array/],
    ["a short admin token", "ops: { admin_token: short }", /at least 16 characters/],
    ["a repeated key", "http:\n  port: 1\n  port: 2", /:3:3: this key stands here already/],
    ["a tenant id that YAML reads as a number", "tenants: [{ id: 12 }]", /put it in quotes/],
  ])("refuses %s", (_name, text, words) => {
    expect(problemsOf(text, withDatabase)).toEqual([expect.stringMatching(words)]);
  });

  test("of broken YAML only the first problem is told, not its echoes", () => {
    expect(problemsOf("tenants:\n  - id: [a\n    keys: {\nlimits: }")).toEqual([
      expect.stringMatching(/^pulsegate.yaml:\d+:\d+: not valid YAML: /),
    ]);
  });

  test("a bare ${NAME} in a flow mapping is explained", () => {
    expect(problemsOf("http: { port: ${PORT} }")).toEqual([expect.stringContaining('put it in quotes: "${NAME}"')]);
  });

  test("one that can't be read is a problem, not an exception", async () => {
    const result = await loadConfig({ file: "/nowhere/p.yaml", plugins: [], env: {}, mode: "dev" });
    expect(result).toMatchObject({
      ok: false,
      problems: [{ file: "/nowhere/p.yaml", line: 1, message: "no such file" }],
    });
  });
});

describe("substitution", () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "pulsegate-config-"));
  });

  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  test("takes values from the environment and from files beside the configuration", () => {
    writeFileSync(join(folder, "url"), `${URL}\n`);
    const text = sinkWith('config: { url: "${file:url}", table: "t_${STAGE}" }');
    const { draft } = valid(text, { file: join(folder, "p.yaml"), env: { STAGE: "prod" } });
    expect(draft.tenants[0]?.sinks[0]?.config).toMatchObject({ url: URL, table: "t_prod" });
  });

  test("a substituted text becomes the number or truth value that the schema asks for", () => {
    const env = { PORT: "9090", POOL: "7", TLS: "true", TABLE: "42", SIZE: "2048" };
    const text = `http:\n  port: \${PORT}\nlimits:\n  event_bytes_max: \${SIZE}\n${sinkWith("config:\n  pool: ${POOL}\n  tls: ${TLS}\n  table: ${TABLE}")}`;
    const { settings, draft } = valid(text, { env, ...withDatabase });
    expect(settings.http.port).toBe(9_090);
    expect(draft.limits.eventBytesMax).toBe(2_048);
    expect(draft.tenants[0]?.sinks[0]?.config).toMatchObject({ pool: 7, tls: true, table: "42" });
  });

  test("a number in quotes is not a number unless it was substituted", () => {
    expect(problemsOf('http: { port: "9090" }')).toEqual([expect.stringContaining("expected a port number")]);
  });

  test("what is missing is told once, with its place", () => {
    expect(problemsOf('ops:\n  admin_token: "${TOKEN}"\n  host: "${file:/nowhere}"')).toEqual([
      "pulsegate.yaml:2:16: the environment variable TOKEN is not set (set it)",
      "pulsegate.yaml:3:9: can't read /nowhere: ENOENT (check that the file is there and may be read)",
    ]);
  });

  test("$${ stands for itself, and a malformed reference is told", () => {
    const { draft } = valid(sinkWith('config: { table: "$${HOME}" }'), withDatabase);
    expect(draft.tenants[0]?.sinks[0]?.config).toMatchObject({ table: "${HOME}" });
    expect(problemsOf(sinkWith('config: { table: "${1x}" }'), withDatabase)[0]).toContain("is neither ${NAME} nor");
  });

  test("no secret is ever in a problem, however it came in", () => {
    writeFileSync(join(folder, "token"), "canary-file");
    const text = `ops: { admin_token: "\${file:token}" }\n${sinkWith('config: { url: "${DB}", mode: "${MODE}" }')}`;
    const env = { DB: "mysql://canary-env@db", MODE: "canary-mode" };
    const told = problemsOf(text, { file: join(folder, "p.yaml"), env });
    expect(told).toHaveLength(3);
    expect(told.join("\n")).not.toContain("canary");
  });

  test("a plugin that quotes what it refuses gives nothing away", () => {
    const env = { TABLE: "bad-canary", NAME: "canary_sink" };
    const text = sinkWith('config: { url: "mysql://canary", table: "${TABLE}" }').concat(
      '        - { name: "${NAME}" }\n',
    );
    expect(problemsOf(text, { env })).toEqual([
      expect.stringMatching(/config\.url: \[secret\] is no address$/),
      expect.stringMatching(/config\.table: \$\{TABLE\} is no table$/),
      expect.stringMatching(/unknown sink "\$\{NAME\}"/),
    ]);
  });

  test("the values that must never be logged are known", () => {
    writeFileSync(join(folder, "table"), "canary-file");
    const text = sinkWith('config: { url: "${DB}", table: "${file:table}" }');
    const { secrets } = valid(text, { file: join(folder, "p.yaml"), env: { DB: URL } });
    expect(secrets.toSorted()).toEqual(["canary-file", URL]);
    expect(valid(FOUNDING, withDatabase).secrets).toEqual([URL]);
  });
});

test("tells which process settings wait for a restart", () => {
  const { settings } = valid("version: 1");
  const after = valid("http: { port: 9 }\nshutdown_grace: 3s").settings;
  expect(changedSettings(settings, after)).toEqual(["http.port", "shutdownGraceMs"]);
  expect(changedSettings(settings, settings)).toEqual([]);
});

test.each(["", "\n# tenants:\n"])("refuses an empty file: a deploy may be about to write it", (text) => {
  const result = parse(text);
  expect(result).toMatchObject({ ok: false, problems: [{ line: 1, column: 1, message: "the file is empty" }] });
});
