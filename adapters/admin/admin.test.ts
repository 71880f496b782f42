import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { encodeParts } from "../../core/canonical/codec.ts";
import type { MemoryLog } from "../../drivers/memory/index.ts";
import { ask, startAdminGate, TOKENS, TRACE_ID } from "../../tests/helpers/admin-gate.ts";
import type { AdminGate, AdminGateOptions } from "../../tests/helpers/admin-gate.ts";
import { PAYLOAD, threeFates } from "../../tests/helpers/three-fates.ts";

const TOKEN = TOKENS.admin;

let gate: AdminGate;
let log: MemoryLog;

beforeEach(async () => {
  gate = await startAdminGate();
  log = gate.log;
});

afterEach(async () => {
  await gate.close();
});

async function restart(options: AdminGateOptions): Promise<void> {
  await gate.close();
  gate = await startAdminGate(options);
  log = gate.log;
}

async function get(path: string, headers: Record<string, string> = { authorization: `Bearer ${TOKEN}` }) {
  return ask(gate.url, path, { token: undefined, headers });
}

describe("probes", () => {
  test("a live process answers /livez without asking the log", async () => {
    await restart({ ops: { checks: [{ name: "log", check: () => Promise.reject(new Error("full")) }] } });
    expect(await get("/livez", {})).toMatchObject({ status: 200, body: { status: "ok" } });
  });

  test("/readyz is proven by a durable write and names each check", async () => {
    expect(await get("/readyz", {})).toMatchObject({
      status: 200,
      body: { status: "ready", checks: [{ name: "log", status: "ok" }] },
    });
  });

  test("/readyz answers 503 with the reason when a check fails", async () => {
    const fails = { name: "workers", check: () => Promise.reject(new Error("thread 1 is down")) };
    await restart({ ops: { checks: [{ name: "log", check: async () => {} }, fails] } });
    const { status, body, headers } = await get("/readyz", {});
    expect(status).toBe(503);
    expect(headers.get("retry-after")).toBe("1");
    expect(body).toMatchObject({
      status: "not_ready",
      checks: [
        { name: "log", status: "ok" },
        { name: "workers", status: "failed", reason: "thread 1 is down" },
      ],
    });
  });

  test("/readyz answers 503 when a check hangs, and tells the check to stop", async () => {
    let stopped = false;
    const check = (signal: AbortSignal): Promise<void> =>
      new Promise(() => {
        signal.addEventListener("abort", () => {
          stopped = true;
        });
      });
    await restart({ ops: { checks: [{ name: "log", check }], readyTimeoutMs: 20 } });
    const { status, body } = await get("/readyz", {});
    expect([status, body.checks[0].reason, stopped]).toEqual([503, "no answer within 20 ms", true]);
  });

  test("many probes cost one write", async () => {
    let writes = 0;
    const check = async (): Promise<void> => {
      writes++;
      await log.probe();
    };
    await restart({ ops: { checks: [{ name: "log", check }] } });
    await Promise.all(Array.from({ length: 20 }, () => get("/readyz", {})));
    await get("/readyz", {});
    expect(writes).toBe(1);
  });

  test("/readyz answers 503 while the process drains", async () => {
    await restart({ ops: { draining: () => true } });
    expect(await get("/readyz", {})).toMatchObject({ status: 503, body: { status: "draining" } });
  });

  test("/metrics is Prometheus text", async () => {
    const { status, text, headers } = await get("/metrics", {});
    expect([status, text, headers.get("content-type")]).toEqual([200, "up 1\n", "text/plain; version=0.0.4"]);
  });
});

describe("requests that fit no route", () => {
  test.each([
    ["/livez", {}],
    ["/readyz", {}],
    ["/metrics", {}],
    ["/admin/v1/lanes", { authorization: `Bearer ${TOKEN}` }],
    ["/admin/v1/events/shop/a", { authorization: `Bearer ${TOKEN}` }],
  ])("%s refuses other methods with 405 and names those that are allowed", async (path, headers) => {
    for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
      const body = method === "POST" ? "no JSON" : null;
      const response = await fetch(`${gate.url}${path}`, { method, headers, body });
      expect([response.status, response.headers.get("allow")], method).toEqual([405, "GET, HEAD"]);
      expect(await response.json()).toMatchObject({ code: "method_not_allowed", trace_id: TRACE_ID });
    }
  });

  test("a stranger does not learn which methods the admin API knows", async () => {
    const response = await fetch(`${gate.url}/admin/v1/lanes`, { method: "DELETE" });
    expect([response.status, response.headers.get("allow")]).toEqual([401, null]);
  });

  test.each(["/admin/v1/jobs/%ff", `/admin/v1/jobs/${"a".repeat(2_000)}`, "/%E0%A4%A"])(
    "a path that can't be read gets a problem: %.30s",
    async (path) => {
      const { status, body, headers } = await get(path);
      expect([status, headers.get("content-type")]).toEqual([400, "application/problem+json"]);
      expect(body).toMatchObject({ code: "malformed_request", trace_id: TRACE_ID });
    },
  );

  test("a problem carries the trace id of the request, or a new one", async () => {
    const theirs = "4bf92f3577b34da6a3ce929d0e0e4736";
    const headers = { traceparent: `00-${theirs}-00f067aa0ba902b7-01` };
    expect((await get("/nothing", headers)).body).toMatchObject({ code: "not_found", trace_id: theirs });
    expect((await get("/nothing", { traceparent: "none" })).body.trace_id).toBe(TRACE_ID);
  });
});

describe("the admin API", () => {
  test.each([
    ["no credential", {}],
    ["another token", { authorization: "Bearer another" }],
    ["the token with another scheme", { authorization: `Basic ${TOKEN}` }],
    ["half of the token", { authorization: `Bearer ${TOKEN.slice(0, 10)}` }],
    ["the token and more", { authorization: `Bearer ${TOKEN}x` }],
    ["an empty token", { authorization: "Bearer " }],
  ])("refuses %s with 401 and says how to come in", async (_name, headers: Record<string, string>) => {
    for (const path of ["/admin/v1/lanes", "/admin/v1/nothing", "/%61dmin/v1/lanes", "/admin/v1/events/shop/a"]) {
      const response = await get(path, headers);
      expect(response.status).toBe(401);
      expect(response.headers.get("www-authenticate")).toBe('Bearer realm="pulsegate-admin"');
      expect(response.headers.get("content-type")).toBe("application/problem+json");
      expect(response.body).toMatchObject({ code: "unauthenticated", status: 401, retryable: false });
    }
  });

  test("says so when it is off", async () => {
    await restart({ ports: () => ({ tokens: () => [] }) });
    const { status, body } = await get("/admin/v1/lanes");
    expect([status, body.detail]).toEqual([404, "the admin API is off: set ops.tokens in the configuration"]);
  });

  test("tells an event's fate by id, by position, and across tenants", async () => {
    await threeFates(log);
    const dead = { status: "dead", dead_letter: { stage: "sink postgres_sink", code: "23514" }, attempts: 1 };
    const byId = await get(`/admin/v1/events/shop/${encodeURIComponent("b/1")}`);
    expect(byId).toMatchObject({ status: 200, body: { tenant: "shop", position: "shop/0/1", lanes: [dead] } });
    expect((await get(`/admin/v1/events/shop/${encodeURIComponent("shop/0/1")}`)).body).toEqual(byId.body);
    expect((await get("/admin/v1/events?id=b%2F1")).body).toEqual({ items: [byId.body] });
    expect((await get("/admin/v1/events/shop/a")).body.lanes[0].status).toBe("delivered");
    expect((await get("/admin/v1/events/shop/c")).body.lanes[0].status).toBe("pending");
    expect((await get("/admin/v1/events/other/a")).status).toBe(404);
    expect((await get("/admin/v1/events?id=nobody")).body).toEqual({ items: [] });
  });

  test("finds an event whose id and tenant have the longest form", async () => {
    const id = "/".repeat(128);
    const tenantId = "t".repeat(128);
    const parts = { eventId: id, tenantId, eventType: "t", source: "http" as const };
    const bytes = encodeParts({ ...parts, payload: Buffer.from("{}") });
    await log.append([{ stream: { tenantId, partition: 0 }, eventId: id, bytes }]);
    expect((await get(`/admin/v1/events/${tenantId}/${encodeURIComponent(id)}`)).body.event_id).toBe(id);
  });

  test("shows a dead letter with its event byte for byte", async () => {
    await threeFates(log);
    const list = (await get("/admin/v1/dead-letters?tenant=shop&sink=raw")).body;
    expect(list).toMatchObject({ next: null, items: [{ id: "shop/0/raw/1", event_id: "b/1", attempts: 1 }] });
    const one = await get("/admin/v1/dead-letters/shop/0/raw/1");
    expect(one.text).toContain(`"payload":${PAYLOAD}`);
    expect(one.body).toMatchObject({ response: "row refused", plugins: { postgres_sink: "1.0.0" }, code: "23514" });
    expect((await get("/admin/v1/dead-letters?sink=none")).body.items).toEqual([]);
    expect((await get("/admin/v1/dead-letters/shop/0/raw/2")).status).toBe(404);
  });

  test("names every wrong query parameter of a listing", async () => {
    const { status, body } = await get("/admin/v1/dead-letters?limit=0&after=x&tenat=a&sink=a&sink=b");
    expect(status).toBe(400);
    expect(body.errors.map((one: { pointer: string }) => one.pointer).toSorted()).toEqual([
      "/after",
      "/limit",
      "/sink",
      "/tenat",
    ]);
  });

  test("balances the ledger of each lane", async () => {
    await threeFates(log);
    expect((await get("/admin/v1/ledger")).body.items).toEqual([
      {
        lane: "shop/0/raw",
        tenant: "shop",
        partition: 0,
        sink: "raw",
        accepted: 3,
        delivered: 1,
        filtered: 0,
        filtered_by_reason: {},
        dead: 1,
        erased: 0,
        pending: 1,
        imbalance: 0,
      },
    ]);
  });

  test("shows lanes with their place in the log and what the workers know", async () => {
    await threeFates(log);
    expect((await get("/admin/v1/lanes")).body.items).toEqual([
      {
        id: "shop/0/raw",
        tenant: "shop",
        partition: 0,
        sink: "raw",
        state: "running",
        start: 0,
        cursor: 2,
        end: 3,
        lag_events: 1,
        dead: 1,
        breaker: "open",
        last_error: "refused",
      },
    ]);
  });

  test("drops a lane whose sink is gone, and tells what that gave up; not one in use", async () => {
    let isGone = false;
    await restart({
      ports: ({ revision }) => ({ revision: () => (isGone ? { ...revision(), tenants: [] } : revision()) }),
    });
    await threeFates(log);
    const drop = () => ask(gate.url, "/admin/v1/lanes/shop/0/raw", { method: "DELETE", token: TOKEN });
    expect(await drop()).toMatchObject({ status: 409, body: { code: "conflict" } });
    isGone = true;
    expect((await get("/admin/v1/lanes")).body.items[0]).toMatchObject({ id: "shop/0/raw", state: "orphan" });
    expect(await drop()).toMatchObject({ status: 200, body: { id: "shop/0/raw", given_up: 1, dead: 1 } });
    expect((await get("/admin/v1/lanes")).body.items).toEqual([]);
    expect((await get("/admin/v1/dead-letters")).body.items).toEqual([]);
    expect((await get("/admin/v1/audit")).body.items[0]).toMatchObject({ action: "drop_lane" });
    expect((await drop()).status).toBe(404);
  });

  test("keeps a refused configuration readable beside the running one", async () => {
    const problem = { file: "p.yaml", line: 3, column: 5, message: "unknown key" };
    const refused = { at: 1_000, problems: [problem] };
    await restart({
      ports: ({ config }) => ({ config: { ...config, state: () => ({ ...config.state(), refused }) } }),
    });
    expect((await get("/admin/v1/config")).body).toEqual({
      revision: 7,
      applied_at: "1970-01-01T00:00:00.000Z",
      origin: "file",
      tenants: 2,
      refused: { at: "1970-01-01T00:00:01.000Z", problems: [problem] },
    });
  });

  test("answers our own faults with 500 and keeps their words in the log", async () => {
    const fail = () => {
      throw new Error("secret detail");
    };
    await restart({ ports: ({ config }) => ({ config: { ...config, state: fail } }) });
    const { status, body, text } = await get("/admin/v1/config");
    expect([status, body.code]).toEqual([500, "internal"]);
    expect(text).not.toContain("secret detail");
    expect(gate.logged).toEqual(["an operations request failed"]);
  });
});
