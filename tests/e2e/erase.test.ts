import { createHash } from "node:crypto";
import { once } from "node:events";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join, relative } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { pulsegate, spawnPulsegate } from "../helpers/cli.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { until } from "../helpers/until.ts";

const TOKEN = "the-admin-token-of-this-test";
const SECRET = `whsec_${Buffer.from("a secret of the test, 32 bytes..").toString("base64")}`;
const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

/** Takes all but what is `refused`. */
async function startEndpoint(): Promise<{ url: string; taken: string[] }> {
  const taken: string[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      const isRefused = body.includes('"refused"');
      if (!isRefused) taken.push(body);
      response.writeHead(isRefused ? 400 : 200).end(isRefused ? body : "");
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, taken };
}

function yaml(dir: string, endpoint: string): string {
  return `version: 1
log: { path: ./data }
http: { port: 0 }
ops: { port: 0, tokens: [{ id: night, role: admin, sha256: ${sha256(TOKEN)} }] }
tenants:
  - id: shop
    keys: [{ id: web, sha256: ${sha256("the-key")} }]
    plugins:
      sinks:
        - { name: file_sink, id: file, config: { path: ${join(dir, "out.ndjson")} } }
        - { name: webhook_sink, id: hook, config: { url: ${endpoint}, secrets: ["${SECRET}"], allow: [127.0.0.1] } }
`;
}

/** Files under a folder that hold a text. */
async function holding(folder: string, text: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = names.filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name));
  const found = await Promise.all(files.map(async (file) => ((await readFile(file)).includes(text) ? [file] : [])));
  return found.flat().map((file) => relative(folder, file));
}

test("what was delivered, died or still waits is erased by the CLI, and no file of the log holds it", async () => {
  const dir = await tempDir();
  const endpoint = await startEndpoint();
  await writeFile(join(dir, "pulsegate.yaml"), yaml(dir, endpoint.url));
  const start = async () => {
    const running = spawnPulsegate(["start", "--config", join(dir, "pulsegate.yaml")]);
    const [, data = "", ops = ""] = await running.output(/"data":"([^"]+)","ops":"([^"]+)"/);
    const env = { PULSEGATE_ADMIN_URL: ops, PULSEGATE_ADMIN_TOKEN: TOKEN };
    const cli = async (...args: readonly string[]) => {
      const result = await pulsegate(args, { env });
      expect([result.code, result.stderr], args.join(" ")).toEqual([0, ""]);
      return result.stdout;
    };
    const send = async (eventId: string, eventType: string, email: string) => {
      const body = JSON.stringify({ event_type: eventType, event_id: eventId, payload: { customer: { email } } });
      const headers = { "x-api-key": "the-key", "content-type": "application/json" };
      const response = await fetch(`${data}/v1/events`, { method: "POST", headers, body });
      await response.arrayBuffer();
      expect(response.status).toBe(202);
    };
    const hookWith = (wanted: Readonly<Record<string, number>>) =>
      until(async () => {
        const { items } = JSON.parse(await cli("ledger", "--json")) as {
          items: Array<Record<string, number | string>>;
        };
        const hook = items.find(({ sink }) => sink === "hook");
        return Object.entries(wanted).every(([name, events]) => hook?.[name] === events) ? hook : undefined;
      }, JSON.stringify(wanted));
    return { running, cli, send, hookWith };
  };

  let gate = await start();
  for (const [name, email] of [
    ["a", "alice@example.com"],
    ["b", "bob@example.com"],
  ] as const) {
    await gate.send(`${name}-delivered`, "taken", email);
    await gate.send(`${name}-dead`, "refused", email);
  }
  await gate.hookWith({ delivered: 2, dead: 2, pending: 0 });
  await gate.cli("lanes", "pause", "shop/0/hook", "--reason", "test");
  await gate.send("a-waits", "taken", "alice@example.com");
  await gate.send("b-waits", "taken", "bob@example.com");
  await gate.hookWith({ pending: 2 });
  const data = join(dir, "data");
  expect(await holding(data, "alice@example.com")).not.toEqual([]);

  const why = ["--reason", "asked for", "--yes"];
  const erased = await gate.cli("events", "erase", "--subject", "customer.email=alice@example.com", ...why);
  expect(erased).toBe("erased 3 event(s) and 1 dead letter(s)\n");
  expect(await holding(data, "alice@example.com")).toEqual([]);
  await gate.cli("lanes", "resume", "shop/0/hook");
  await gate.hookWith({ accepted: 6, delivered: 3, dead: 1, erased: 2, pending: 0 });
  expect(endpoint.taken.filter((body) => body.includes("alice"))).toHaveLength(1);
  await gate.cli("ledger", "--audit");
  expect(await gate.cli("events", "get", "a-dead", "--json")).toContain('"erased_at"');

  gate.running.signalGroup("SIGTERM");
  expect((await gate.running.finished).code).toBe(0);
  gate = await start();
  await gate.hookWith({ accepted: 6, delivered: 3, dead: 1, erased: 2, pending: 0 });
  expect(await holding(data, "alice@example.com")).toEqual([]);
  expect(await holding(data, "bob@example.com")).not.toEqual([]);
  expect(await gate.cli("dlq", "show", "shop/0/hook/3")).toContain("b-dead");
  gate.running.signalGroup("SIGTERM");
  expect((await gate.running.finished).code).toBe(0);
});
