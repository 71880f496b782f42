import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { pulsegate, spawnPulsegate } from "../helpers/cli.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { until } from "../helpers/until.ts";

const ADMIN_TOKEN = "admin-token-for-this-test";

const yaml = (when: string) => `http: { port: 0 }
ops: { port: 0, admin_token: ${ADMIN_TOKEN} }
log: { path: ./data }
tenants:
  - id: shop
    keys: [{ id: web, sha256: 2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b }]
    plugins:
      sinks:
        - { name: file_sink, id: rest, fallback: true, config: { path: ./rest.ndjson } }
        - name: file_sink
          id: paid
          config: { path: ./paid.ndjson }
          when: |
            event.event_type == "paid" &&
              ${when}
`;

test("routes to a sink and its fallback; a bad condition is refused on SIGHUP with its place, and the old one goes on", async () => {
  const dir = await tempDir();
  const config = join(dir, "pulsegate.yaml");
  await writeFile(config, yaml("event.payload.amount > 100"));
  const running = spawnPulsegate(["start", "--config", config], { cwd: dir });
  const [line] = await running.output(/^.*"msg":"ready".*$/m);
  const { data, ops } = JSON.parse(line) as { data: string; ops: string };
  const headers = { "X-API-Key": "secret", "Content-Type": "application/json" };
  const post = async (id: string, event_type: string, amount: number) => {
    const body = JSON.stringify({ event_type, event_id: id, payload: { amount } });
    expect((await fetch(`${data}/v1/events`, { method: "POST", headers, body })).status).toBe(202);
  };
  const idsIn = async (name: string) => {
    const text = await readFile(join(dir, name), "utf8").catch(() => "");
    return [...text.matchAll(/"event_id":"([^"]+)"/g)].map(([, id]) => id);
  };
  const delivered = (paid: string[], rest: string[]) =>
    until(async () => {
      const all = [await idsIn("paid.ndjson"), await idsIn("rest.ndjson")];
      return all.flat().length >= paid.length + rest.length ? all : undefined;
    }, "all events");

  await post("e1", "paid", 101);
  await post("e2", "paid", 1);
  await post("e3", "sent", 101);
  expect(await delivered(["e1"], ["e2", "e3"])).toEqual([["e1"], ["e2", "e3"]]);

  const good = yaml("event.payload.amount > 100");
  const mistakes = [
    [yaml("event.payload.amount > 100 && event.kind == 1"), 15, 51, "No such key: kind"],
    [good.replace("file_sink, id: rest", "nowhere_sink, id: rest"), 9, 19, 'unknown sink "nowhere_sink"'],
    [good.replace("config: { path: ./paid.ndjson }", "config: {}"), 12, 19, '"path" is missing'],
    [good.replace("fallback: true", "fallback: maybe"), 9, 50, "expected boolean"],
  ] as const;
  for (const [text, line, column, words] of mistakes) {
    await writeFile(config, text);
    running.child.kill("SIGHUP");
    const problem = { line, column, message: expect.stringContaining(words) as string };
    const refusal = await until(async () => {
      const answer = await fetch(`${ops}/admin/v1/config`, { headers: { Authorization: `Bearer ${ADMIN_TOKEN}` } });
      const { revision, refused } = (await answer.json()) as { revision: number; refused?: { problems: unknown[] } };
      expect(revision).toBe(1);
      return (JSON.stringify(refused) ?? "").includes(JSON.stringify(words).slice(1, -1)) ? refused : undefined;
    }, words);
    expect(refusal.problems).toContainEqual(expect.objectContaining(problem));
  }

  await post("e4", "paid", 102);
  await post("e5", "paid", 2);
  expect(await delivered(["e1", "e4"], ["e2", "e3", "e5"])).toEqual([
    ["e1", "e4"],
    ["e2", "e3", "e5"],
  ]);
  running.child.kill("SIGTERM");
  expect((await running.finished).code).toBe(0);
});

const PAGE = resolve(import.meta.dirname, "../../docs/routing.md");
const TRANSCRIPT = /(\$ npx pulsegate (config explain .*)\n)([\s\S]*?)(```)/;

test("config explain --event prints what docs/routing.md shows, and tells programs the same", async () => {
  const page = await readFile(PAGE, "utf8");
  const block = (language: string) => new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``).exec(page)?.[1] ?? "";
  const cwd = await tempDir();
  await writeFile(join(cwd, "pulsegate.yaml"), block("yaml"));
  await writeFile(join(cwd, "event.json"), block("json"));
  const [, , command = "", shown = ""] = TRANSCRIPT.exec(page) ?? [];
  const { stdout, code } = await pulsegate(command.split(" "), { cwd });
  expect(code).toBe(0);
  if (process.env["UPDATE_README"] !== undefined)
    await writeFile(
      PAGE,
      page.replace(TRANSCRIPT, (_all, start: string, _command, _old, end: string) => start + stdout + end),
    );
  else expect(stdout).toBe(shown);

  const told = JSON.parse((await pulsegate([...command.split(" "), "--json"], { cwd })).stdout) as {
    sinks: Array<{ id: string; outcome: string; event?: object }>;
  };
  expect(told.sinks.map(({ id, outcome }) => [id, outcome])).toEqual([
    ["big_orders", "filtered"],
    ["audit", "delivered"],
    ["rest", "filtered"],
  ]);
  // What a sink was given is an event that can be asked about again.
  const input = `${JSON.stringify(told.sinks[1]?.event)}\n`;
  const again = await pulsegate(["config", "explain", "--event", "-", "--json"], { cwd, input });
  expect(JSON.parse(again.stdout)).toMatchObject({ event: told.sinks[1]?.event });
});

test.each([
  [
    "an event that is none",
    '{"event_type":"a b"}',
    [],
    /^error: event\.json is no event that PulseGate takes\n {2}why: \/event_type: .*\n {2}next: /,
  ],
  [
    "a tenant that is not there",
    '{"event_type":"a"}',
    ["--tenant", "x"],
    /^error: there is no tenant x\n {2}why: there are shop\n {2}next: give --tenant/,
  ],
])("config explain --event refuses %s in one clear line", async (_name, event, args, message) => {
  const cwd = await tempDir();
  await writeFile(join(cwd, "pulsegate.yaml"), yaml("true"));
  await writeFile(join(cwd, "event.json"), event);
  const { stderr, code } = await pulsegate(["config", "explain", "--event", "event.json", ...args], { cwd });
  expect(stderr).toMatch(message);
  expect(code).not.toBe(0);
});
