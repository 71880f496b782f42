import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { sinkConformance } from "../../../tests/conformance/sink.ts";
import { startTestPostgres, type TestPostgres } from "../../../tests/helpers/postgres.ts";
import { eventOf, eventsOf } from "../../../tests/helpers/sink-events.ts";
import type { SinkPlugin } from "../../contract.ts";
import { contextOf } from "../../testing/events.ts";
import { bisect } from "../../testing/sink.ts";
import { postgresTarget } from "./conformance.ts";
import plugin from "./index.ts";

let server: TestPostgres;
let databases = 0;
beforeAll(async () => {
  server = await startTestPostgres();
});
afterAll(async () => {
  await server.stop();
});

const newDatabase = () => server.createDatabase(`test_${(databases += 1)}`);

async function postgresSink(options: Record<string, unknown>): Promise<SinkPlugin> {
  const sink = plugin.create();
  await sink.init?.(plugin.config.parse(options));
  return sink;
}

/** A sink on a database of its own, closed when the test ends. */
async function open(options: Record<string, unknown> = {}): Promise<{ sink: SinkPlugin; url: string }> {
  const url = await newDatabase();
  const sink = await postgresSink({ url, ...options });
  onTestFinished(() => sink.close?.());
  return { sink, url };
}

sinkConformance({ definition: plugin, target: () => postgresTarget(server.url) });

describe("COPY and insert", () => {
  /** Tells by which of the two each row came. */
  async function telling(): Promise<{ sink: SinkPlugin; ways: () => Promise<unknown[]> }> {
    const { sink, url } = await open();
    await sink.send(eventOf(0), contextOf());
    await server.query(
      "ALTER TABLE events_raw ADD COLUMN way text DEFAULT split_part(current_query(), ' ', 1)",
      [],
      url,
    );
    await server.query("DELETE FROM events_raw", [], url);
    const ways = async () =>
      (await server.query("SELECT way FROM events_raw ORDER BY received_at", [], url)).map((row) => row["way"]);
    return { sink, ways };
  }

  test("what may be there already goes by an insert, all else by COPY", async () => {
    const { sink, ways } = await telling();
    await sink.send(eventOf(1), contextOf());
    await sink.send(eventOf(2), { ...contextOf(), attempt: 2 });
    await sink.send(eventOf(3), { ...contextOf(), replayId: "job-1" });
    expect(await ways()).toEqual(["COPY", "INSERT", "INSERT"]);
  });

  test("a duplicate that COPY meets is done, and inserts follow before COPY is tried again", async () => {
    const { sink, ways } = await telling();
    const events = eventsOf(70);
    for (const event of [eventOf(0), ...events]) expect(await sink.send(event, contextOf())).toEqual({ type: "ok" });
    expect(await sink.sendBatch?.(events, contextOf())).toEqual(events.map(() => ({ type: "ok" })));
    for (let n = 100; n < 165; n++) await sink.send(eventOf(n), contextOf());
    const seen = await ways();
    expect(seen.slice(0, 71)).toEqual(Array(71).fill("COPY"));
    expect(seen.slice(71)).toEqual([...Array(64).fill("INSERT"), "COPY"]);
  });

  test.each([
    ["2025-03-01T12:00:00Z", "COPY"],
    ["2025-03-01T12:00:00.1Z", "COPY"],
    ["2024-02-29T23:59:59.999-15:59", "COPY"],
    ["1969-12-31T23:59:59.999+05:30", "COPY"],
    ["0001-01-02T00:00:00Z", "COPY"],
    ["3999-12-31T23:59:59.999Z", "COPY"],
    ["9999-12-31T23:59:59.999Z", "INSERT"],
    ["2025-03-01T12:00:00.123456Z", "INSERT"],
    ["2025-03-01t12:00:00z", "INSERT"],
    ["2016-12-31T23:59:60Z", "INSERT"],
  ])("%s is the same time by either, and goes by %s", async (occurredAt, way) => {
    const { sink, url } = await open();
    await sink.send(eventOf(0), contextOf());
    await server.query(
      "ALTER TABLE events_raw ADD COLUMN way text DEFAULT split_part(current_query(), ' ', 1)",
      [],
      url,
    );
    await sink.send(eventOf(1, '{"n":"é"}', { occurredAt }), contextOf());
    const sql = "SELECT to_jsonb(e) - 'event_id' AS row, way FROM events_raw e WHERE event_id = $1";
    const [first] = await server.query<{ row: object; way: string }>(sql, ["event-1"], url);
    await server.query("DELETE FROM events_raw", [], url);
    await sink.send(eventOf(1, '{"n":"é"}', { occurredAt }), { ...contextOf(), attempt: 2 });
    const [second] = await server.query<{ row: object; way: string }>(sql, ["event-1"], url);
    expect([first?.way, second?.way]).toEqual([way, "INSERT"]);
    expect(first?.row).toEqual({ ...second?.row, way });
  });

  test("a day that no month has is refused by either", async () => {
    const { sink } = await open();
    const event = eventOf(1, "{}", { occurredAt: "2025-02-30T12:00:00Z" });
    expect(await sink.send(event, contextOf())).toMatchObject({ type: "error", code: "22008" });
  });
});

describe("what a row holds", () => {
  test("keeps every field of the event", async () => {
    const { sink, url } = await open();
    await sink.send(eventOf(2, '{"a":1}', { occurredAt: "2025-03-01T12:00:00.123456+07:00" }), contextOf());
    const [row] = await server.query("SELECT *, occurred_at::text AS occurred FROM events_raw", [], url);
    expect(row).toMatchObject({
      tenant_id: "tenant_shop_1",
      event_id: "event-2",
      event_type: "order_paid",
      occurred: "2025-03-01 05:00:00.123456+00",
      received_at: new Date(Date.UTC(2026, 10, 24, 12) + 2),
      source: "http",
      trace_id: "0af7651916cd43dd8448eb211c80319c",
      idempotency_key: null,
      payload: { a: 1 },
    });
  });

  const ODD =
    '{"z":1, "a":[1.10,12345678901234567890,1e2],"z":2,"nul":"\\u0000","half":"\\ud800","esc":"\\/\\u00e9é\\"\\\\","tab\\t":null}';

  test.each(["json", "text"])("keeps the payload byte for byte in a %s column, whatever it holds", async (type) => {
    const { sink, url } = await open({ payload_column: type });
    expect(await sink.send(eventOf(1, ODD), contextOf())).toEqual({ type: "ok" });
    const [row] = await server.query("SELECT payload::text AS payload FROM events_raw", [], url);
    expect(row?.["payload"]).toBe(ODD);
  });

  test("keeps numbers beyond 2^53 and decimals exact in a jsonb column", async () => {
    const { sink, url } = await open();
    await sink.send(
      eventOf(1, '{"big":12345678901234567890,"decimal":1.10,"small":0.1000000000000000055}'),
      contextOf(),
    );
    const [row] = await server.query("SELECT payload::text AS payload FROM events_raw", [], url);
    expect(row?.["payload"]).toBe('{"big": 12345678901234567890, "small": 0.1000000000000000055, "decimal": 1.10}');
  });

  test("takes values that look like SQL, arrays and NULL as they are", async () => {
    const { sink, url } = await open();
    const odd = ["NULL", "'; DROP TABLE events_raw; --", '{"},{"}', "\\", "$1"].map((text, n) =>
      eventOf(n, JSON.stringify({ text }), { eventId: `id-${n}-{},"\\'$1` }),
    );
    expect(await sink.sendBatch?.(odd, contextOf())).toEqual(odd.map(() => ({ type: "ok" })));
    const rows = await server.query("SELECT event_id, payload ->> 'text' AS text FROM events_raw ORDER BY 1", [], url);
    expect(rows).toEqual(odd.map((event) => ({ event_id: event.event_id, text: event.payload["text"] })));
  });
});

describe("one bad row", () => {
  test.each([
    ["a NUL", "22P05", '{"a":"\\u0000"}', {}],
    ["half a surrogate pair", "22P02", '{"a":"\\udc00"}', {}],
    ["a number that numeric can't hold", "22003", '{"a":1e200000}', {}],
    ["a time out of range", "22008", "{}", { occurredAt: "2025-02-30T00:00:00Z" }],
  ])("%s is refused with %s, for that event alone", async (_, code, payload, changes) => {
    const { sink } = await open();
    const events = eventsOf(20).map((event, i) => (i === 7 ? eventOf(8, payload, changes) : event));
    const outcomes = await bisect(sink, events);
    expect(outcomes.flatMap((outcome, i) => (outcome.type === "ok" ? [] : [[i, outcome]]))).toEqual([
      [7, { type: "error", code, reason: expect.stringMatching(/./) }],
    ]);
  });

  test.each([
    ["a constraint", "23514", "ALTER TABLE events_raw ADD CHECK (payload ? 'n')"],
    [
      "a foreign key",
      "23503",
      "CREATE TABLE kinds (kind text PRIMARY KEY); INSERT INTO kinds VALUES ('1'); ALTER TABLE events_raw ADD n text GENERATED ALWAYS AS (coalesce(payload ->> 'n', '1') ) STORED REFERENCES kinds",
    ],
    ["a second unique key", "23505", "CREATE UNIQUE INDEX ON events_raw (event_type) WHERE payload ? 'one'"],
    [
      "a trigger's word",
      "P0001",
      "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NOT NEW.payload ? 'n' THEN RAISE 'no'; END IF; RETURN NEW; END $$; CREATE TRIGGER no BEFORE INSERT ON events_raw FOR EACH ROW EXECUTE FUNCTION no()",
    ],
  ])("%s that refuses it gives %s", async (_, code, sql) => {
    const { sink, url } = await open();
    await sink.send(eventOf(1, '{"n":1,"one":1}'), contextOf());
    await server.query(sql, [], url);
    const bad = code === "23503" ? '{"n":2}' : '{"one":1}';
    const outcomes = await bisect(sink, [eventOf(2, '{"n":1}'), eventOf(3, bad), eventOf(4, '{"n":1}')]);
    expect(outcomes.map((outcome) => outcome.type)).toEqual(["ok", "error", "ok"]);
    expect(outcomes[1]).toMatchObject({ code });
  });
});

describe("the table", () => {
  test("is made once when many sinks start at the same time", async () => {
    const url = await newDatabase();
    const sinks = await Promise.all(
      Array.from({ length: 8 }, (_, i) => postgresSink({ url, application_name: `sink-${i}`, pool_size: 1 })),
    );
    const outcomes = await Promise.all(sinks.map((sink, i) => sink.send(eventOf(i), contextOf())));
    await Promise.all(sinks.map(async (sink) => await sink.close?.()));
    expect(outcomes).toEqual(sinks.map(() => ({ type: "ok" })));
  });

  test("may live in a schema, and its name is taken literally", async () => {
    const { sink, url } = await open({ table: "Audit.Events$1" });
    await server.query('CREATE SCHEMA "Audit"', [], url);
    expect(await sink.send(eventOf(1), contextOf())).toEqual({ type: "ok" });
    expect(await server.query('SELECT event_id FROM "Audit"."Events$1"', [], url)).toEqual([{ event_id: "event-1" }]);
  });

  test.each(['events"; DROP TABLE x; --', "a.b.c", "", "1st", "a b", "tab\u0000le"])("can't be named %j", (table) => {
    expect(plugin.config.safeParse({ url: "postgres://u@h/d", table }).success).toBe(false);
  });

  test("that someone else made with room for more is taken", async () => {
    const { sink, url } = await open();
    await server.query(
      `CREATE TABLE events_raw (id bigint GENERATED ALWAYS AS IDENTITY, tenant_id varchar(128), event_id text, event_type text,
       occurred_at timestamptz, received_at timestamptz, source text, trace_id text, idempotency_key text, payload jsonb,
       note text NOT NULL DEFAULT '', UNIQUE (event_id, tenant_id))`,
      [],
      url,
    );
    expect(await sink.sendBatch?.([eventOf(1), eventOf(1)], contextOf())).toEqual([{ type: "ok" }, { type: "ok" }]);
  });

  test("that does not fit is refused with all that is wrong, and taken once it is mended", async () => {
    const { sink, url } = await open();
    await server.query(
      `CREATE TABLE events_raw (tenant_id text, event_id text, event_type int, occurred_at timestamp, received_at timestamptz,
       trace_id text NOT NULL, idempotency_key text, payload json, note text NOT NULL)`,
      [],
      url,
    );
    const [outcome] = (await sink.sendBatch?.([eventOf(1)], contextOf())) ?? [];
    expect(outcome).toEqual({ type: "error", code: "42703", reason: expect.any(String) });
    for (const problem of [
      "column source is missing",
      "column event_type is integer, not text",
      "column occurred_at is timestamp without time zone, not timestamp with time zone",
      "column payload is json, not jsonb",
      "column trace_id must allow NULL",
      "column note is NOT NULL without a default",
      "it needs a unique key on (tenant_id, event_id)",
    ]) {
      expect((outcome as { reason: string }).reason).toContain(problem);
    }
    await expect(sink.check?.(new AbortController().signal)).rejects.toThrow("column source is missing");
    await server.query("DROP TABLE events_raw", [], url);
    expect(await sink.send(eventOf(1), contextOf())).toEqual({ type: "ok" });
  });

  test("that is dropped under way is made again", async () => {
    const { sink, url } = await open();
    await sink.send(eventOf(1), contextOf());
    await server.query("DROP TABLE events_raw", [], url);
    expect(await sink.send(eventOf(2), contextOf())).toEqual({ type: "ok" });
  });

  test("that is missing and may not be made refuses each event with 42P01", async () => {
    const { sink } = await open({ create_table: false });
    expect(await sink.sendBatch?.(eventsOf(2), contextOf())).toEqual([
      expect.objectContaining({ type: "error", code: "42P01" }),
      expect.objectContaining({ type: "error", code: "42P01" }),
    ]);
  });
});

test("a sink that is closed leaves the connections of the others alone", async () => {
  const url = await newDatabase();
  const [one, two] = [await postgresSink({ url }), await postgresSink({ url })];
  await Promise.all([one.send(eventOf(1), contextOf()), two.send(eventOf(2), contextOf())]);
  await one.close?.();
  await one.close?.();
  expect(await two.send(eventOf(3), contextOf())).toEqual({ type: "ok" });
  await two.close?.();
});

test("a hundred sinks with the same settings share one pool", async () => {
  const url = await newDatabase();
  const sinks = await Promise.all(
    Array.from({ length: 100 }, () => postgresSink({ url, pool_size: 3, application_name: "many" })),
  );
  await Promise.all(sinks.map((sink, i) => sink.send(eventOf(i), contextOf())));
  const [row] = await server.query("SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'many'");
  await Promise.all(sinks.map(async (sink) => await sink.close?.()));
  expect(row?.["n"]).toBeLessThanOrEqual(3);
});
