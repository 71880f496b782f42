import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { parseConfig } from "../../../config/parse.ts";
import { formatProblem } from "../../../config/problems.ts";
import { transformConformance } from "../../../tests/conformance/transform.ts";
import { mmdb } from "../../../tests/helpers/mmdb.ts";
import { until } from "../../../tests/helpers/until.ts";
import type { CanonicalEvent, PluginContext, TransformPlugin } from "../../contract.ts";
import { publicAddress } from "./address.ts";
import { Database } from "./database.ts";
import plugin from "./index.ts";

const folder = mkdtempSync(join(tmpdir(), "pulsegate-geoip-"));
const CITY = join(folder, "city.mmdb");
const ASN = join(folder, "asn.mmdb");
writeFileSync(
  CITY,
  mmdb([
    {
      network: "81.2.69.0/24",
      data: {
        city: { names: { en: "London" } },
        country: { iso_code: "GB", names: { en: "United Kingdom", de: "Vereinigtes Königreich" } },
      },
    },
    { network: "2001:480::/32", data: { country: { iso_code: "US", names: { en: "United States", de: "USA" } } } },
  ]),
);
writeFileSync(
  ASN,
  mmdb([
    { network: "81.0.0.0/8", data: { autonomous_system_number: 64496, autonomous_system_organization: "Example Net" } },
  ]),
);
afterAll(() => rmSync(folder, { recursive: true }));

const databases = [CITY, ASN];

transformConformance({
  definition: plugin,
  golden: new URL("./golden/", import.meta.url),
  adapt: (config) => ({ ...(config as object), databases }),
  configs: [
    { databases, field: "email" },
    { databases, field: "user.email", target: "user.email.geo" },
    { databases, field: "items[0]", target: "__proto__.geo" },
    { databases: [], field: "email" },
  ],
});

interface Line {
  readonly level: string;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

function context(lines: Line[] = []): PluginContext {
  const at = (level: string) => (fields: Line["fields"], message: string) => lines.push({ level, fields, message });
  const logger = { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
  const metrics = { count() {}, observe() {} };
  return { tenantId: "t", logger, metrics, attempt: 1, signal: new AbortController().signal };
}

async function started(config: object): Promise<TransformPlugin> {
  const transform = plugin.create();
  await transform.init?.(plugin.config.parse(config));
  return transform;
}

async function cityOf(transform: TransformPlugin, ip: string, ctx = context()): Promise<unknown> {
  const outcome = await transform.process({ event_id: "e", payload: { ip } } as unknown as CanonicalEvent, ctx);
  if (outcome.type !== "ok") throw new Error(outcome.reason);
  return (outcome.event.payload["geo"] as { city?: string } | undefined)?.city;
}

function cityFile(city: string): Buffer {
  return mmdb([{ network: "81.2.69.0/24", data: { city: { names: { en: city } } } }]);
}

test("takes up a file that changes, and keeps the one before while a new one can't be read", async () => {
  const path = join(folder, "changing.mmdb");
  const lines: Line[] = [];
  writeFileSync(path, cityFile("London"));
  const transform = await started({ databases: [path], check_every_ms: 100 });
  expect(await cityOf(transform, "81.2.69.1", context(lines))).toBe("London");
  const replace = (bytes: Buffer) => {
    writeFileSync(`${path}.new`, bytes);
    renameSync(`${path}.new`, path);
  };
  replace(cityFile("Hanoi"));
  await until(
    async () => (await cityOf(transform, "81.2.69.1", context(lines))) === "Hanoi" || undefined,
    "the new file",
  );
  replace(Buffer.from("half a file"));
  await until(async () => {
    expect(await cityOf(transform, "81.2.69.1", context(lines))).toBe("Hanoi");
    return lines.some(({ level }) => level === "warn") || undefined;
  }, "the warning");
  replace(cityFile("Huế"));
  await until(
    async () => (await cityOf(transform, "81.2.69.1", context(lines))) === "Huế" || undefined,
    "the third file",
  );
  await transform.close?.();
  expect(lines.map(({ level }) => level)).toEqual(["info", "info", "warn", "info"]);
  expect(lines[2]?.fields["database"]).toBe(path);
});

test("without a database events pass as they are with one warning, until one comes", async () => {
  const path = join(folder, "later.mmdb");
  const before = process.env["PULSEGATE_GEOIP_DATABASE"];
  process.env["PULSEGATE_GEOIP_DATABASE"] = path;
  try {
    const lines: Line[] = [];
    const transform = await started({ check_every_ms: 100 });
    expect(await cityOf(transform, "81.2.69.1", context(lines))).toBeUndefined();
    expect(await cityOf(transform, "81.2.69.1", context(lines))).toBeUndefined();
    expect(lines).toEqual([
      { level: "warn", fields: { looked_at: [path] }, message: expect.stringContaining("no geo database") },
    ]);
    writeFileSync(path, cityFile("London"));
    await until(async () => (await cityOf(transform, "81.2.69.1")) === "London" || undefined, "the file that came");
    await transform.close?.();
  } finally {
    if (before === undefined) delete process.env["PULSEGATE_GEOIP_DATABASE"];
    else process.env["PULSEGATE_GEOIP_DATABASE"] = before;
  }
});

test("takes a database whose date is no date", async () => {
  const path = join(folder, "undated.mmdb");
  writeFileSync(path, mmdb([{ network: "81.2.69.0/24", data: { city: { names: { en: "London" } } } }], 2n ** 64n - 1n));
  const lines: Line[] = [];
  const transform = await started({ databases: [path] });
  expect(await cityOf(transform, "81.2.69.1", context(lines))).toBe("London");
  expect(lines[0]?.fields["built_at"]).toBe("unknown");
  await transform.close?.();
});

test("does not start without a database that its config names: events wait", async () => {
  const path = join(folder, "gone.mmdb");
  writeFileSync(path, cityFile("London"));
  const config = plugin.config.parse({ databases: [path] });
  rmSync(path);
  await expect(plugin.create().init?.(config)).rejects.toThrow(`can't read the database ${path}: ENOENT`);
});

test("holds a file in memory once, and lets go of it with the last who uses it", async () => {
  const path = join(folder, "shared.mmdb");
  writeFileSync(path, cityFile("London"));
  const [first, second] = [await Database.use(path, 10_000), await Database.use(path, 10_000)];
  expect(first).toBe(second);
  first.release();
  expect(await Database.use(path, 10_000)).toBe(second);
  second.release();
  second.release();
  const again = await Database.use(path, 10_000);
  expect(again).not.toBe(second);
  again.release();
});

test("a missing or wrong database is a configuration error with line and column", () => {
  writeFileSync(join(folder, "text.mmdb"), "no database");
  const text = [
    "version: 1",
    "tenants:",
    "  - id: t",
    "    plugins:",
    "      transform:",
    "        - name: geoip_enricher",
    "          config:",
    `            databases: [${join(folder, "missing.mmdb")}, ${join(folder, "text.mmdb")}, ${folder}]`,
    "      sinks: [{ name: file_sink, config: { path: /tmp/x } }]",
  ].join("\n");
  const result = parseConfig({ text, file: "gate.yaml", plugins: [plugin], env: {}, mode: "dev" });
  const problems = result.ok ? [] : result.problems.map(formatProblem).filter((line) => line.includes("databases"));
  expect(problems).toEqual([
    expect.stringMatching(/^gate\.yaml:8:25: .*databases\[0\]: there is no file .*missing\.mmdb; download it/),
    expect.stringMatching(/^gate\.yaml:8:\d+: .*databases\[1\]: .*text\.mmdb is not a MaxMind DB file/),
    expect.stringMatching(/^gate\.yaml:8:\d+: .*databases\[2\]: .* is not a file/),
  ]);
});

test("the founding configuration, which names it without options, is valid", () => {
  const text = "tenants: [{ id: t, plugins: { transform: [{ name: geoip_enricher }], sinks: [] } }]";
  expect(parseConfig({ text: `version: 1\n${text}`, file: "f", plugins: [plugin], env: {}, mode: "dev" }).ok).toBe(
    true,
  );
});

test.each([
  ["8.8.8.8", "8.8.8.8"],
  [" 8.8.8.8:443 ", "8.8.8.8"],
  ["[2001:4860::8888]:53", "2001:4860::8888"],
  ["2001:4860::8888", "2001:4860::8888"],
  ["::ffff:8.8.8.8", "8.8.8.8"],
  ["10.1.2.3, unknown, 8.8.8.8, 9.9.9.9", "8.8.8.8"],
  ["10.0.0.1", undefined],
  ["172.31.255.255", undefined],
  ["172.32.0.1", "172.32.0.1"],
  ["100.64.0.1", undefined],
  ["127.0.0.1", undefined],
  ["169.254.1.1", undefined],
  ["224.0.0.1", undefined],
  ["255.255.255.255", undefined],
  ["::1", undefined],
  ["::", undefined],
  ["::ffff:10.0.0.1", undefined],
  ["fe80::1%eth0", undefined],
  ["fd00::1", undefined],
  ["2001:db8::1", undefined],
  ["ff02::1", undefined],
  ["", undefined],
  ["example.com", undefined],
  ["8.8.8", undefined],
  [`${"10.0.0.1,".repeat(200)}8.8.8.8`, undefined],
  [134744072, undefined],
  [null, undefined],
])("the public address of %j is %s", (text, expected) => expect(publicAddress(text)).toBe(expected));
