import { readFile } from "node:fs/promises";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { eventOf, eventsOf } from "../../../tests/helpers/sink-events.ts";
import { contextOf } from "../../testing/events.ts";
import { startTestPostgres, type TestPostgres } from "../../../tests/helpers/postgres.ts";
import { until } from "../../../tests/helpers/until.ts";
import type { SinkPlugin } from "../../contract.ts";
import { failureOf } from "./failure.ts";
import plugin from "./index.ts";

let server: TestPostgres;
let databases = 0;
beforeAll(async () => {
  server = await startTestPostgres();
});
afterAll(async () => {
  await server.stop();
});

async function open(
  options: Record<string, unknown> = {},
  change: (url: URL) => void = () => {},
): Promise<{ sink: SinkPlugin; url: string }> {
  const url = await server.createDatabase(`faults_${(databases += 1)}`);
  const target = new URL(url);
  change(target);
  const sink = plugin.create();
  await sink.init?.(plugin.config.parse({ url: target.href, ...options }));
  onTestFinished(() => sink.close?.());
  return { sink, url };
}

/** A session that holds what it has locked until the test ends. */
async function session(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => {});
  await client.connect();
  onTestFinished(() => client.end());
  await client.query("BEGIN");
  return client;
}

/** Resolves once the sink's statement waits for a lock. */
function blocked(url: string): Promise<number> {
  return until(async () => {
    const sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    return (await server.query<{ pid: number }>(sql, [], url))[0]?.pid;
  }, "a statement that waits for a lock");
}

const outage = (code: string) => expect.objectContaining({ type: "retry", unavailable: true, code });
const retry = (code: string) => expect.objectContaining({ type: "retry", unavailable: false, code });
const refused = (code: string) => expect.objectContaining({ type: "error", code });
const send = (sink: SinkPlugin, n = 1) => sink.send(eventOf(n), contextOf());

describe("an outage burns no event", () => {
  test("a server that is not there gives ECONNREFUSED", async () => {
    const { sink } = await open({}, (url) => (url.port = "1"));
    expect(await send(sink)).toEqual(outage("ECONNREFUSED"));
  });

  test("a wrong password gives 28P01", async () => {
    const { sink } = await open({}, (url) => (url.password = "wrong"));
    expect(await send(sink)).toEqual(outage("28P01"));
  });

  test("a database that does not exist gives 3D000", async () => {
    const { sink } = await open({}, (url) => (url.pathname = "/nowhere"));
    expect(await send(sink)).toEqual(outage("3D000"));
  });

  test("a schema that does not exist gives 3F000", async () => {
    const { sink } = await open({ table: "nowhere.events_raw" });
    expect(await send(sink)).toEqual(outage("3F000"));
  });

  test("too many connections give 53300", async () => {
    await server.query("CREATE ROLE crowd LOGIN PASSWORD 'crowd' CONNECTION LIMIT 0");
    const { sink } = await open({}, (url) => {
      url.username = "crowd";
      url.password = "crowd";
    });
    expect(await send(sink)).toEqual(outage("53300"));
  });

  test("a read-only server gives 25006", async () => {
    const { sink, url } = await open();
    await send(sink);
    const [row] = await server.query("SELECT current_database() AS name", [], url);
    await server.query(`ALTER DATABASE ${row?.["name"]} SET default_transaction_read_only = on`);
    await server.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", [row?.["name"]]);
    await until(async () => ((await send(sink, 2)) as { code?: string }).code === "25006" || undefined, "25006");
    expect(await send(sink, 2)).toEqual(outage("25006"));
  });

  test("a statement that is ended by an administrator gives 57P01, and the next delivery lands", async () => {
    const { sink, url } = await open();
    await send(sink);
    const holder = await session(url);
    await holder.query("LOCK TABLE events_raw IN ACCESS EXCLUSIVE MODE");
    const delivery = sink.sendBatch?.(eventsOf(3), contextOf());
    await server.query("SELECT pg_terminate_backend($1)", [await blocked(url)]);
    expect(await delivery).toEqual([outage("57P01"), outage("57P01"), outage("57P01")]);
    await holder.query("ROLLBACK");
    expect(await send(sink, 2)).toEqual({ type: "ok" });
  });

  test("a table that stays locked gives 57014 at the statement's deadline, and the connection is kept", async () => {
    const { sink, url } = await open({ statement_timeout_ms: 1_000, pool_size: 1 });
    await send(sink);
    const holder = await session(url);
    await holder.query("LOCK TABLE events_raw IN ACCESS EXCLUSIVE MODE");
    const pid = () =>
      server.query(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'pulsegate' AND datname = current_database()",
        [],
        url,
      );
    const before = await pid();
    expect(await send(sink, 2)).toEqual(outage("57014"));
    expect(await pid()).toEqual(before);
  });

  test("a server that is frozen gives `timeout` before the pipeline's own deadline", async () => {
    const { sink } = await open({ connect_timeout_ms: 500, statement_timeout_ms: 1_000 });
    await until(async () => (await send(sink)).type === "ok" || undefined, "a first delivery");
    const postmaster = Number.parseInt(await readFile(join(server.dataDir, "postmaster.pid"), "utf8"), 10);
    const sessions = await server.query<{ pid: number }>(
      "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'",
    );
    const pids = [postmaster, ...sessions.map(({ pid }) => pid)];
    for (const pid of pids) process.kill(pid, "SIGSTOP");
    try {
      expect(await send(sink, 2)).toEqual(outage("timeout"));
    } finally {
      for (const pid of pids) process.kill(pid, "SIGCONT");
    }
    await until(async () => (await send(sink, 2)).type === "ok" || undefined, "delivery after the freeze");
  });

  test("a server that is killed while connections are idle and busy is an outage until it is back", async () => {
    const { sink, url } = await open({ connect_timeout_ms: 1_000 });
    await Promise.all([1, 2, 3].map((n) => send(sink, n)));
    const holder = await session(url);
    await holder.query("LOCK TABLE events_raw IN ACCESS EXCLUSIVE MODE");
    const delivery = sink.sendBatch?.(eventsOf(3), contextOf());
    const backend = await blocked(url);
    process.kill(backend, "SIGKILL");
    expect(await delivery).toEqual(new Array(3).fill(expect.objectContaining({ type: "retry", unavailable: true })));
    const seen = new Set<string>();
    await until(async () => {
      const outcome = await send(sink, 4);
      seen.add(outcome.type === "ok" ? "ok" : `${outcome.type} ${"unavailable" in outcome && outcome.unavailable}`);
      return outcome.type === "ok" || undefined;
    }, "delivery after the crash");
    expect([...seen].filter((kind) => kind !== "retry true")).toEqual(["ok"]);
  });
});

test("an idle connection that breaks is counted, replaced, and harms nobody", async () => {
  const { sink, url } = await open();
  await send(sink);
  const others = "datname = current_database() AND pid <> pg_backend_pid()";
  let lost = 0;
  const count = (name: string, by = 1) => {
    if (name === "idle_connections_lost_total") lost += by;
  };
  // A send may meet the dead connection before the news of its end does: then it is a retry, and once more.
  await until(async () => {
    await sink.send(eventOf(2), { ...contextOf(), metrics: { count, observe() {} } });
    if (lost === 0)
      await server.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE ${others}`, [], url);
    return lost > 0 || undefined;
  }, "the lost connection");
  expect(await send(sink, 3)).toEqual({ type: "ok" });
});

describe("a clash is tried again", () => {
  test("a deadlock gives 40P01", async () => {
    const { sink, url } = await open();
    await send(sink, 0);
    const other = await session(url);
    await other.query("SET LOCAL deadlock_timeout = '1h'");
    const insert = "INSERT INTO events_raw VALUES ('tenant_shop_1', $1, 'x', now(), now(), 'http', null, null, '{}')";
    await other.query(insert, ["event-2"]);
    const delivery = sink.sendBatch?.([eventOf(1), eventOf(2)], contextOf());
    await blocked(url);
    const waiting = other.query(insert, ["event-1"]);
    expect(await delivery).toEqual([retry("40P01"), retry("40P01")]);
    await waiting;
  });

  test("a lock that can't be had gives 55P03", async () => {
    const { sink, url } = await open();
    const [row] = await server.query("SELECT current_database() AS name", [], url);
    await server.query(`ALTER DATABASE ${row?.["name"]} SET lock_timeout = '50ms'`);
    await send(sink);
    const holder = await session(url);
    await holder.query("LOCK TABLE events_raw IN ACCESS EXCLUSIVE MODE");
    expect(await send(sink, 2)).toEqual(retry("55P03"));
  });
});

describe("what no retry can mend is refused", () => {
  test("a missing column gives 42703", async () => {
    const { sink, url } = await open();
    await send(sink);
    await server.query("ALTER TABLE events_raw DROP COLUMN source", [], url);
    expect(await sink.sendBatch?.(eventsOf(2), contextOf())).toEqual([refused("42703"), refused("42703")]);
  });

  test("a key that was dropped gives 42P10 within a hundred deliveries", async () => {
    const { sink, url } = await open();
    await send(sink);
    await server.query("ALTER TABLE events_raw DROP CONSTRAINT events_raw_pkey", [], url);
    const outcomes = [];
    for (let n = 2; n < 102; n++) outcomes.push(await send(sink, n));
    expect(outcomes.at(-1)).toEqual(refused("42P10"));
  });

  test("a key that was dropped gives 42P10 at once where a duplicate may come", async () => {
    const { sink, url } = await open();
    await send(sink);
    await server.query("ALTER TABLE events_raw DROP CONSTRAINT events_raw_pkey", [], url);
    expect(await sink.send(eventOf(1), { ...contextOf(), attempt: 2 })).toEqual(refused("42P10"));
  });

  test("a right that is missing gives 42501", async () => {
    await server.query("CREATE ROLE reader LOGIN PASSWORD 'reader'");
    const { sink } = await open({}, (url) => {
      url.username = "reader";
      url.password = "reader";
    });
    expect(await send(sink)).toEqual(refused("42501"));
  });

  test("a document that an index can't hold gives 54000, for that event alone", async () => {
    const { sink, url } = await open();
    await send(sink);
    await server.query("CREATE INDEX ON events_raw ((payload ->> 'text'))", [], url);
    const text = Array.from({ length: 2_000 }, (_, i) => (i * 7_919).toString(36)).join("");
    const big = eventOf(2, JSON.stringify({ text }));
    await expect(sink.sendBatch?.([eventOf(3), big], contextOf())).rejects.toMatchObject({
      name: "BatchRejected",
      code: "54000",
    });
    expect(await sink.send(big, contextOf())).toEqual(refused("54000"));
  });
});

describe("an SQLSTATE", () => {
  const stateOf = (code: string) =>
    failureOf(Object.assign(new pg.DatabaseError("no", 2, "error"), { code, severity: "ERROR" }));

  test.each([
    ["08006", "retry", true],
    ["53100", "retry", true],
    ["57P03", "retry", true],
    ["40001", "retry", false],
    ["26000", "retry", false],
    ["42P05", "retry", false],
    ["XX000", "retry", false],
    ["58030", "retry", false],
    ["22001", "row", false],
    ["23502", "row", false],
    ["44000", "row", false],
    ["42804", "permanent", false],
    ["0A000", "permanent", false],
  ])("%s that can't be provoked here is %s, unavailable: %s", (code, kind, unavailable) => {
    expect(stateOf(code)).toMatchObject({ kind, unavailable, code });
  });

  test("has no say where the fault is ours", () => {
    expect(failureOf(new TypeError("x is not a function"))).toMatchObject({ kind: "retry", unavailable: false });
  });

  test("is decided by code and never by words", () => {
    const error = Object.assign(new pg.DatabaseError("ECONNREFUSED deadlock detected 40P01", 2, "error"), {
      code: "23514",
    });
    expect(failureOf(error).kind).toBe("row");
  });
});
