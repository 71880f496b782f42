import { randomUUID } from "node:crypto";
import pg from "pg";
import { startProxy } from "../../testing/proxy.ts";
import type { SinkTarget } from "../../testing/sink.ts";

/** A database of its own on the server of `superuser`, behind a proxy that can be harmed; dropped in the end. */
export async function postgresTarget(superuser: string): Promise<SinkTarget> {
  const name = `conformance_${randomUUID().replaceAll("-", "")}`;
  await query(superuser, `CREATE DATABASE ${name}`);
  const url = new URL(superuser);
  url.pathname = `/${name}`;
  const server = { host: url.hostname, port: Number(url.port || 5432) };
  const proxy = await startProxy(() => server);
  const through = new URL(url);
  through.host = `127.0.0.1:${proxy.port}`;
  return {
    config: { url: through.href, connect_timeout_ms: 5_000, statement_timeout_ms: 5_000 },
    keyed: true,
    ordered: true,
    badPayload: '{"text":"\\u0000"}',
    stored: () =>
      query(url.href, 'SELECT event_id AS "eventId", payload::text AS payload FROM events_raw ORDER BY received_at'),
    outage: () => proxy.outage(),
    freeze: () => proxy.freeze(),
    async breakNextDelivery() {
      proxy.cutBeforeReply();
      return async () => undefined;
    },
    async permanentFault() {
      await query(url.href, "ALTER TABLE events_raw RENAME COLUMN source TO origin");
      return async () => void (await query(url.href, "ALTER TABLE events_raw RENAME COLUMN origin TO source"));
    },
    async close() {
      await proxy.close();
      await query(superuser, `DROP DATABASE ${name} WITH (FORCE)`);
    },
  };
}

async function query<R extends pg.QueryResultRow>(connectionString: string, sql: string): Promise<R[]> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    return (await client.query<R>(sql)).rows;
  } finally {
    await client.end();
  }
}
