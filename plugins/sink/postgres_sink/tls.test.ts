import { chmod, chown, copyFile, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { eventOf } from "../../../tests/helpers/sink-events.ts";
import { contextOf } from "../../testing/events.ts";
import { startTestPostgres, type TestPostgres } from "../../../tests/helpers/postgres.ts";
import { until } from "../../../tests/helpers/until.ts";
import type { SinkOutcome } from "../../contract.ts";
import plugin from "./index.ts";

const fixture = (name: string) => fileURLToPath(new URL(`./testdata/${name}`, import.meta.url));

let server: TestPostgres;
beforeAll(async () => {
  server = await startTestPostgres();
  const owner = await stat(server.dataDir);
  for (const name of ["server.pem", "server.key"]) {
    const file = join(server.dataDir, name);
    await copyFile(fixture(name), file);
    await chown(file, owner.uid, owner.gid);
    await chmod(file, 0o600);
  }
  await server.query("ALTER SYSTEM SET ssl_cert_file = 'server.pem'");
  await server.query("ALTER SYSTEM SET ssl_key_file = 'server.key'");
  await server.query("ALTER SYSTEM SET ssl = on");
  await server.query("SELECT pg_reload_conf()");
  await until(async () => (await server.query("SHOW ssl"))[0]?.["ssl"] === "on" || undefined, "TLS");
});
afterAll(async () => {
  await server.stop();
});

async function send(options: Record<string, unknown>, sslmode?: string): Promise<SinkOutcome> {
  const url = new URL(server.url);
  url.hostname = "localhost";
  if (sslmode !== undefined) url.searchParams.set("sslmode", sslmode);
  const sink = plugin.create();
  onTestFinished(() => sink.close());
  await sink.init(
    plugin.config.parse({ url: url.href, application_name: `tls ${JSON.stringify(options).slice(0, 40)}`, ...options }),
  );
  return await sink.send(eventOf(1), contextOf());
}

const refused = expect.objectContaining({
  type: "retry",
  unavailable: true,
  code: expect.stringMatching(/CERT|VERIFY|SIGNATURE/),
});

test("delivers over TLS to a server whose authority is known, by file or by text", async () => {
  expect(await send({ tls: { mode: "require", ca_file: fixture("ca.pem") } })).toEqual({ type: "ok" });
  expect(await send({ tls: { mode: "require", ca: await readFile(fixture("ca.pem"), "utf8") } })).toEqual({
    type: "ok",
  });
  const rows = await server.query(
    "SELECT bool_and(ssl) AS ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name LIKE 'tls %'",
  );
  expect(rows).toEqual([{ ssl: true }]);
});

test("refuses a server whose authority is not known, and calls that an outage", async () => {
  expect(await send({ tls: { mode: "require" } })).toEqual(refused);
});

test.each(["require", "verify-ca", "verify-full", "prefer"])(
  "verifies the server with sslmode=%s in the URL",
  async (sslmode) => {
    expect(await send({}, sslmode)).toEqual(refused);
  },
);

test("takes any certificate only when told so", async () => {
  expect(await send({ tls: { mode: "require", reject_unauthorized: false } })).toEqual({ type: "ok" });
  expect(await send({}, "no-verify")).toEqual({ type: "ok" });
});

test("a missing authority file is an error at the start, with its name", async () => {
  await expect(send({ tls: { mode: "require", ca_file: "/nowhere/ca.pem" } })).rejects.toThrow("/nowhere/ca.pem");
});
