import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ask, INGEST_KEY, startAdminGate, TOKENS } from "../../tests/helpers/admin-gate.ts";
import type { AdminGate } from "../../tests/helpers/admin-gate.ts";
import { OPERATIONS } from "./operations/index.ts";

/** Who asks, in the order of the columns below. `shop` and `other` are admins of one tenant. */
const ASKERS = ["nobody", "ingest key", "other", "shop", "viewer", "operator", "admin"] as const;

/** What a route answers to each; `ok` is its own success. Things that are looked up do not exist here, unless said. */
const LOOK = [401, 401, 403, "ok", "ok", "ok", "ok"] as const;
/** A listing answers each with what it may see. */
const LIST = [401, 401, "ok", "ok", "ok", "ok", "ok"] as const;
const GLOBAL_LOOK = [401, 401, 403, 403, "ok", "ok", "ok"] as const;
const OPERATE = [401, 401, 403, "ok", 403, "ok", "ok"] as const;
const ADMINISTER = [401, 401, 403, "ok", 403, 403, "ok"] as const;
const GLOBAL_ADMINISTER = [401, 401, 403, 403, 403, 403, "ok"] as const;
const OPERATE_LIST = [401, 401, "ok", "ok", 403, "ok", "ok"] as const;
/** What only its id names is not there for another tenant. */
const FOUND = [401, 401, 404, "ok", "ok", "ok", "ok"] as const;
const FOUND_OPERATE = [401, 401, 404, "ok", 403, "ok", "ok"] as const;
const ADMIN_LIST = [401, 401, "ok", "ok", 403, 403, "ok"] as const;

interface Row {
  readonly expect: readonly (number | "ok")[];
  /** Values for the parts of the path. */
  readonly path?: Readonly<Record<string, string>>;
  readonly query?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Its own success, when that is not the operation's: something that does not exist is asked for. */
  readonly ok?: number;
}

const LANE = { tenant: "shop", partition: "0", sink: "raw" };
const JOB = { job: "replay-none-0000" };
const IF_MATCH = { "if-match": "*" };

/** A route that is missing here fails the test. */
const TABLE: Readonly<Record<string, Row>> = {
  list_tenants: { expect: LIST },
  show_tenant: { expect: LOOK },
  list_sinks: { expect: LOOK },
  check_sink: { expect: OPERATE, path: { sink: "raw" } },
  list_keys: { expect: LOOK },
  create_key: { expect: ADMINISTER, body: { id: "web" }, ok: 409 },
  rotate_key: { expect: ADMINISTER, path: { key: "none" }, ok: 404 },
  revoke_key: { expect: ADMINISTER, path: { key: "none" }, ok: 404 },
  show_config: { expect: GLOBAL_LOOK },
  list_revisions: { expect: GLOBAL_LOOK },
  show_revision: { expect: GLOBAL_LOOK, path: { number: "7" } },
  diff_revisions: { expect: GLOBAL_LOOK, query: "from=6&to=7" },
  validate_config: { expect: GLOBAL_ADMINISTER, body: "version: 1" },
  apply_config: { expect: GLOBAL_ADMINISTER, body: "version: 1", headers: IF_MATCH },
  roll_back_config: { expect: GLOBAL_ADMINISTER, body: { to: 6 }, headers: IF_MATCH },
  list_lanes: { expect: LIST },
  show_lane: { expect: LOOK, path: LANE },
  pause_lane: { expect: OPERATE, path: LANE },
  resume_lane: { expect: OPERATE, path: LANE },
  skip_position: { expect: OPERATE, path: LANE, body: { sequence: 0, reason: "bad" }, ok: 409 },
  drop_lane: { expect: ADMINISTER, path: LANE, ok: 409 },
  reset_lanes: { expect: GLOBAL_ADMINISTER, body: {}, ok: 409 },
  show_ledger: { expect: LIST },
  show_storage: { expect: LIST },
  list_dead_letters: { expect: LIST },
  show_dead_letter: { expect: LOOK, path: { ...LANE, sequence: "1" }, ok: 404 },
  list_dead_letter_groups: { expect: LIST },
  discard_dead_letters: { expect: OPERATE, body: { all: true, reason: "old" } },
  audit_ledger: { expect: OPERATE_LIST },
  list_jobs: { expect: LIST },
  create_job: { expect: OPERATE, body: { kind: "replay" } },
  preview_job: { expect: OPERATE, body: { kind: "replay" } },
  show_job: { expect: FOUND, path: JOB, ok: 404 },
  start_job: { expect: FOUND_OPERATE, path: JOB, ok: 404 },
  pause_job: { expect: FOUND_OPERATE, path: JOB, ok: 404 },
  resume_job: { expect: FOUND_OPERATE, path: JOB, ok: 404 },
  cancel_job: { expect: FOUND_OPERATE, path: JOB, ok: 404 },
  set_job_rate: { expect: FOUND_OPERATE, path: JOB, body: { idle_share: 0.5 }, ok: 404 },
  find_events: { expect: LIST, query: "id=a" },
  show_event: { expect: LOOK, path: { event: "a" }, ok: 404 },
  tail_events: { expect: LOOK },
  erase_events: { expect: ADMINISTER, body: { ids: ["none"], reason: "asked for" } },
  list_audit: { expect: ADMIN_LIST },
  list_plugins: { expect: LIST },
  begin_trial: { expect: GLOBAL_ADMINISTER, body: { tenants: [{ id: "trial-a" }], ttl_seconds: 1 } },
  end_trial: { expect: GLOBAL_ADMINISTER, path: { trial: "none" }, ok: 404 },
};

let gate: AdminGate;

beforeAll(async () => {
  gate = await startAdminGate();
  await gate.log.openLane({ stream: { tenantId: "shop", partition: 0 }, sink: "raw" }, "start");
});

afterAll(async () => {
  await gate.close();
});

function tokenOf(asker: (typeof ASKERS)[number]): string | undefined {
  if (asker === "nobody") return undefined;
  return asker === "ingest key" ? INGEST_KEY : TOKENS[asker];
}

test("the table names every route and no other", () => {
  expect(Object.keys(TABLE).toSorted()).toEqual(OPERATIONS.map(({ id }) => id).toSorted());
});

describe.each(OPERATIONS.map((one) => [one.id, one] as const))("%s", (id, one) => {
  const row = TABLE[id] as Row;

  test.each(ASKERS.map((asker, i) => [asker, row.expect[i]] as const))("for %s: %s", async (asker, expected) => {
    const path = one.path.replaceAll(/\{(\w+)\}/g, (_all, name: string) =>
      name === "tenant" ? "shop" : (row.path?.[name] ?? ""),
    );
    const query = row.query === undefined ? "" : `?${row.query}`;
    const { method } = one;
    const token = tokenOf(asker);
    const request = { method, token, body: row.body, ...(row.headers === undefined ? {} : { headers: row.headers }) };
    const status = one.id === "tail_events" ? await statusOf(`${path}${query}`, token) : undefined;
    const reply = status ?? (await ask(gate.url, `/admin/v1${path}${query}`, request)).status;
    expect(reply).toBe(expected === "ok" ? (row.ok ?? one.status ?? 200) : expected);
  });
});

/** Of an answer that has no end. */
async function statusOf(path: string, token: string | undefined): Promise<number> {
  const gone = new AbortController();
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const { status } = await fetch(`${gate.url}/admin/v1${path}`, { headers, signal: gone.signal });
  gone.abort();
  return status;
}

test.each(
  OPERATIONS.filter(({ path, scope }) => scope === "tenant" && !path.includes("{")).map((one) => [one.id, one]),
)("%s refuses a tenant's token that names another tenant", async (id, one) => {
  if (one.query === undefined || !("tenant" in one.query.shape)) return;
  const { query } = TABLE[id] as Row;
  const path = `/admin/v1${one.path}?tenant=shop${query === undefined ? "" : `&${query}`}`;
  expect((await ask(gate.url, path, { token: TOKENS.other })).status).toBe(403);
});
