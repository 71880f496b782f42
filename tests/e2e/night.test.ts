import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { pulsegate, spawnPulsegate } from "../helpers/cli.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { until } from "../helpers/until.ts";

const ORDERS = 1_000;
const REFUSED_EACH = 50;
const DEAD = ORDERS / REFUSED_EACH;

interface Ledger {
  readonly accepted: number;
  readonly delivered: number;
  readonly dead: number;
  readonly pending: number;
  readonly faults?: readonly string[];
}

test("the night: find out, fix, canary, redrive, truncate, replay; by number nothing is missing", async () => {
  const cwd = await tempDir();
  const dev = spawnPulsegate(["dev", "--port", "0", "--ops-port", "0"], { cwd });
  const [, url = ""] = await dev.output(/events +(http:\/\/localhost:\d+)\/v1\/events/);
  await dev.output(/Ctrl-C stops/);
  const run = (...args: readonly string[]) => pulsegate(args, { cwd });
  const json = async <T>(...args: readonly string[]): Promise<T> => {
    const { code, stdout, stderr } = await run(...args, "--json");
    expect([code, stderr], args.join(" ")).toEqual([0, ""]);
    return JSON.parse(stdout) as T;
  };
  const sql = async (statement: string) => json<Array<Record<string, number>>>("sql", statement);
  const settled = (audit: readonly string[] = []) =>
    until(async () => {
      const [lane] = (await json<{ items: Ledger[] }>("ledger", ...audit)).items;
      return lane?.pending === 0 ? lane : undefined;
    }, "a settled lane");

  await run("send", "--type", "order_paid", '{"amount":20}');
  await settled();
  expect(
    (await run("sql", "ALTER TABLE events_raw ADD CONSTRAINT paid CHECK ((payload->>'amount')::int > 0)")).code,
  ).toBe(0);
  const orders = Array.from({ length: ORDERS }, (_, i) => {
    return JSON.stringify({ event_type: "order_paid", amount: (i + 1) % REFUSED_EACH === 0 ? 0 : 20 });
  });
  await writeFile(join(cwd, "orders.ndjson"), orders.join("\n"));
  expect((await run("send", "--file", "orders.ndjson")).code).toBe(0);
  expect(await settled()).toMatchObject({ accepted: ORDERS + 1, delivered: ORDERS + 1 - DEAD, dead: DEAD });

  // What, why, since when.
  const { items: groups } = await json<{ items: Array<Record<string, unknown>> }>("dlq", "groups");
  expect(groups).toEqual([
    expect.objectContaining({
      events: DEAD,
      stage: "sink postgres_sink",
      code: "23514",
      event_types: { order_paid: DEAD },
    }),
  ]);
  expect(groups[0]?.["message"]).toContain("paid");
  const fingerprint = String(groups[0]?.["fingerprint"]);

  // A canary before the fix: it stops, and says so.
  const early = await run("dlq", "redrive", "--fingerprint", fingerprint, "--canary", "10", "--yes");
  expect(early.code).toBe(1);
  expect(early.stderr).toMatch(/error: job redrive-\S+ is failed\n {2}why: .*canary/);
  expect((await settled()).dead).toBe(DEAD);
  const [one] = (await json<{ items: Array<{ id: string }> }>("dlq", "list", "--limit", "1")).items;
  const again = await run("dlq", "redrive", one?.id ?? "");
  expect([again.code, again.stderr]).toEqual([1, expect.stringContaining("1 dead letter(s) failed again")]);
  // Since when it goes wrong is as it was, whatever was tried meanwhile.
  const { items: since } = await json<{ items: Array<Record<string, unknown>> }>("dlq", "groups", "--from", "1h");
  expect(since).toEqual([expect.objectContaining({ events: DEAD, first_at: groups[0]?.["first_at"] })]);

  // Without --yes nothing is delivered, and no job stays behind.
  const unasked = await run("dlq", "redrive", "--fingerprint", fingerprint);
  expect([unasked.code, unasked.stderr]).toEqual([2, expect.stringContaining(`${DEAD} dead letter(s) of tenant demo`)]);
  const { items: jobs } = await json<{ items: Array<{ state: string }> }>("replay", "list");
  expect(jobs.map(({ state }) => state).toSorted()).toEqual(["cancelled", "done", "failed"]);

  expect((await run("sql", "ALTER TABLE events_raw DROP CONSTRAINT paid")).code).toBe(0);
  const redriven = await run("dlq", "redrive", "--fingerprint", fingerprint, "--canary", "10", "--yes");
  expect(redriven.stdout).toMatch(/canary passed: 10 of 10; delivered 20, filtered 0, failed 0/);
  expect(await settled()).toMatchObject({ delivered: ORDERS + 1, dead: 0 });

  // By mistake; and live traffic goes on while six hours are replayed.
  expect((await run("sql", "TRUNCATE events_raw")).code).toBe(0);
  const live = sendWhile(url);
  const replayed = await run("replay", "create", "--from", "6h", "--start", "--yes");
  const sent = await live.stop();
  expect(replayed.code).toBe(0);
  expect(sent).toBeGreaterThan(0);
  const ledger = await settled(["--audit"]);
  expect(ledger).toMatchObject({ accepted: ORDERS + 1 + sent, delivered: ORDERS + 1 + sent, dead: 0, faults: [] });
  const [row] = await sql("SELECT count(*) AS rows, count(DISTINCT event_id) AS ids FROM events_raw");
  expect(row).toEqual({ rows: ORDERS + 1 + sent, ids: ORDERS + 1 + sent });

  dev.signalGroup("SIGINT");
  expect((await dev.finished).code).toBe(0);
}, 300_000);

/** Sends one event after the other until stopped; tells how many were acknowledged. */
function sendWhile(url: string): { stop(): Promise<number> } {
  const stopped = new AbortController();
  let sent = 0;
  const loop = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      const response = await fetch(`${url}/v1/events`, {
        method: "POST",
        headers: { "x-api-key": "demo", "content-type": "application/json" },
        body: '{"event_type":"order_paid","amount":1}',
      });
      expect(response.status).toBe(202);
      await response.arrayBuffer();
      sent += 1;
    }
  };
  const running = loop();
  return {
    async stop() {
      stopped.abort();
      await running;
      return sent;
    },
  };
}
