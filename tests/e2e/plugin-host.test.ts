import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type Running, spawnPulsegate } from "../helpers/cli.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { until } from "../helpers/until.ts";

const ADMIN_TOKEN = "admin-token-for-this-test";
const TIMEOUT_MS = 240_000;

/** Does to whatever runs it what the event says. */
const NAUGHTY = `import { definePlugin } from "pulsegate/plugin";
const hoard = [];
const DEEDS = {
  loop() { for (;;); },
  exit() { process.exit(7); },
  abort() { process.abort(); },
  reject() { void Promise.reject(new Error("stray")); return new Promise(() => {}); },
  allocate() { for (let gib = 0; gib < 4; gib++) hoard.push(Buffer.alloc(2 ** 30, 1)); },
  never() { return new Promise(() => {}); },
};
export default definePlugin({
  kind: "transform", name: "naughty", version: "1.0.0", summary: "Misbehaves on request.",
  create: () => ({
    name: "naughty", version: "1.0.0",
    async process(event) {
      await DEEDS[event.payload.do]?.();
      return { type: "ok", event: { ...event, payload: { ...event.payload, mark: "one" } } };
    },
  }),
});
`;
const DEEDS = ["loop", "exit", "abort", "reject", "allocate", "never"];

interface Started {
  readonly dir: string;
  readonly running: Running;
  readonly data: string;
  readonly ops: string;
}

async function start(isolation: string): Promise<Started> {
  const dir = await tempDir();
  await writeFile(join(dir, "naughty.mjs"), NAUGHTY);
  const sha256 = (key: string) => createHash("sha256").update(key).digest("hex");
  const sink = (id: string) => `[{ name: file_sink, config: { path: ${JSON.stringify(join(dir, `${id}.ndjson`))} } }]`;
  await writeFile(
    join(dir, "pulsegate.yaml"),
    `log: { path: ./data }
http: { port: 0 }
ops: { port: 0, admin_token: ${ADMIN_TOKEN} }
tenants:
  - id: good
    keys: [{ id: k, sha256: ${sha256("good")} }]
    plugins: { sinks: ${sink("good")} }
  - id: bad
    keys: [{ id: k, sha256: ${sha256("bad")} }]
    plugins:
      transform: [{ name: ./naughty.mjs, ${isolation} }]
      sinks: ${sink("bad")}
`,
  );
  const running = spawnPulsegate(["start", "--config", join(dir, "pulsegate.yaml")]);
  const [line] = await running.output(/^.*"msg":"ready".*$/m);
  const { data, ops } = JSON.parse(line) as { data: string; ops: string };
  return { dir, running, data, ops };
}

async function send({ data }: Started, tenant: string, payload: Readonly<Record<string, unknown>>): Promise<void> {
  const headers = { "X-API-Key": tenant, "Content-Type": "application/json" };
  const body = JSON.stringify({ event_type: "t", payload });
  expect((await fetch(`${data}/v1/events`, { method: "POST", headers, body })).status).toBe(202);
}

async function delivered({ dir }: Started, tenant: string): Promise<Array<Record<string, unknown>>> {
  const text = await readFile(join(dir, `${tenant}.ndjson`), "utf8").catch(() => "");
  const lines = text.split("\n").filter((line) => line !== "");
  return lines.map((line) => (JSON.parse(line) as { payload: Record<string, unknown> }).payload);
}

/** Asks again for as long as a loaded machine may need. */
async function eventually<T>(ask: () => Promise<T | undefined>, what: string): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await until(ask, what);
    } catch (error) {
      if (tries === 5) throw error;
    }
  }
}

test(
  "a plugin that loops, exits, aborts, rejects, allocates or never answers costs its own guilty events alone",
  async () => {
    const started = await start("deadline: 500ms, memory: 128MiB");
    for (const [n, deed] of DEEDS.entries()) {
      await send(started, "bad", { n, do: "" });
      await send(started, "bad", { n, do: deed });
      await send(started, "good", { n });
    }
    await send(started, "bad", { n: DEEDS.length, do: "" });
    const headers = { Authorization: `Bearer ${ADMIN_TOKEN}` };
    const known = await (await fetch(`${started.ops}/admin/v1/plugins`, { headers })).json();
    expect((known as { items: unknown[] }).items.at(-1)).toEqual({
      ...{ name: "naughty", kind: "transform", version: "1.0.0", summary: "Misbehaves on request." },
      ...{ source: "./naughty.mjs", config: null },
    });
    const letters = await eventually(async () => {
      const answer = await fetch(`${started.ops}/admin/v1/dead-letters?tenant=bad`, { headers });
      const { items } = (await answer.json()) as { items: Array<{ stage: string; code: string; message: string }> };
      return items.length === DEEDS.length ? items : undefined;
    }, "six dead letters");
    expect(letters.map(({ stage }) => stage)).toEqual(DEEDS.map(() => "transform naughty"));
    expect(new Set(letters.map(({ code }) => code))).toEqual(
      new Set(["plugin_deadline", "plugin_crashed", "plugin_memory"]),
    );
    for (const { message } of letters) expect(message).toMatch(/^naughty@1\.0\.0 .*, 3 times with this event alone$/);
    const harmless = await eventually(async () => {
      const payloads = await delivered(started, "bad");
      return payloads.length === DEEDS.length + 1 ? payloads : undefined;
    }, "the harmless events of the same tenant");
    expect(harmless.every(({ mark }) => mark === "one")).toBe(true);
    expect((await delivered(started, "good")).map(({ n }) => n)).toEqual([0, 1, 2, 3, 4, 5]);
    started.running.child.kill("SIGTERM");
    expect((await started.running.finished).code).toBe(0);
  },
  TIMEOUT_MS,
);

test.each(["isolation: none", "isolation: worker", "isolation: process"])(
  "a changed plugin is loaded anew on SIGHUP, and one that does not load is refused: the old one stays (%s)",
  async (isolation) => {
    const started = await start(isolation);
    const file = join(started.dir, "naughty.mjs");
    const marksAre = (marks: readonly string[]) =>
      eventually(
        async () => {
          const found = (await delivered(started, "bad")).map(({ mark }) => mark);
          return found.length === marks.length ? found : undefined;
        },
        `the marks ${marks.join(", ")}`,
      );
    await send(started, "bad", {});
    expect(await marksAre(["one"])).toEqual(["one"]);

    await writeFile(file, NAUGHTY.replace(`mark: "one"`, `mark: "two"`));
    started.running.child.kill("SIGHUP");
    await started.running.output(/"revision":2,"msg":"configuration changed"/);
    await send(started, "bad", {});
    expect(await marksAre(["one", "two"])).toEqual(["one", "two"]);

    await writeFile(file, "export default {");
    started.running.child.kill("SIGHUP");
    await started.running.output(/pulsegate\.yaml:11:27: \S+ \.\/naughty\.mjs can't be loaded/);
    await send(started, "bad", {});
    expect(await marksAre(["one", "two", "two"])).toEqual(["one", "two", "two"]);
  },
  TIMEOUT_MS,
);
