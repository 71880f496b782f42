import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { encodeParts } from "../../core/canonical/codec.ts";
import type { MemoryLog } from "../../drivers/memory/index.ts";
import { ask, startAdminGate, TOKENS } from "../../tests/helpers/admin-gate.ts";
import type { AdminGate, AdminGateOptions, AskOptions } from "../../tests/helpers/admin-gate.ts";
import { until } from "../../tests/helpers/until.ts";

let gate: AdminGate;
let log: MemoryLog;

beforeEach(async () => {
  await start({});
});

afterEach(async () => {
  await gate.close();
});

async function start(options: AdminGateOptions): Promise<void> {
  gate = await startAdminGate(options);
  log = gate.log;
  await log.openLane({ stream: { tenantId: "shop", partition: 0 }, sink: "raw" }, "start");
}

const get = (path: string, options: AskOptions = {}) => ask(gate.url, `/admin/v1${path}`, options);
const post = (path: string, body?: unknown, options: AskOptions = {}) =>
  ask(gate.url, `/admin/v1${path}`, { method: "POST", body, ...options });
const audit = async () => (await get("/audit")).body.items;

test("an empty body is none, whatever type it is said to have; one that is no JSON is refused", async () => {
  const headers = { authorization: `Bearer ${TOKENS.admin}`, "content-type": "application/json" };
  const pause = (body: string) =>
    fetch(`${gate.url}/admin/v1/lanes/shop/0/raw/pause`, { method: "POST", headers, body });
  expect((await pause("")).status).toBe(200);
  for (const body of ["{", '{"__proto__": {}}']) {
    const refused = await pause(body);
    expect(refused.status).toBe(400);
    expect(await refused.json()).toMatchObject({ code: "malformed_request" });
  }
});

describe("keys", () => {
  test("are made, rotated and revoked; a secret is shown once and kept nowhere", async () => {
    const made = await post("/tenants/shop/keys", { id: "mobile" });
    expect(made.status).toBe(201);
    expect(made.body.key).toMatch(/^pgk_mobile_[\w-]{43}$/);
    const rotated = await post("/tenants/shop/keys/mobile/rotate", { overlap_seconds: 60 });
    expect(rotated.body).toMatchObject({
      id: "mobile",
      state: "rotating",
      key: expect.not.stringContaining(made.body.key),
    });
    expect((await post("/tenants/shop/keys/mobile/revoke", { reason: "leaked" })).body).toMatchObject({
      state: "revoked",
    });
    const told = [(await get("/tenants/shop/keys")).text, (await get("/audit")).text].join();
    for (const { body } of [made, rotated]) expect(told).not.toContain(body.key);
    expect((await audit()).map((one: { action: string; outcome: string }) => [one.action, one.outcome])).toEqual([
      ["revoke_key", "done"],
      ["rotate_key", "done"],
      ["create_key", "done"],
    ]);
  });

  test("a change after another's is refused with 412, and changes nothing", async () => {
    const seen = (await get("/tenants/shop/keys")).headers.get("etag") ?? "";
    await post("/tenants/shop/keys", { id: "a" });
    const late = await post("/tenants/shop/keys", { id: "b" }, { headers: { "if-match": seen } });
    expect([late.status, late.body.code]).toEqual([412, "precondition_failed"]);
    const fresh = (await get("/tenants/shop/keys")).headers.get("etag") ?? "";
    expect((await post("/tenants/shop/keys", { id: "b" }, { headers: { "if-match": fresh } })).status).toBe(201);
  });

  test("a body that is not valid names every fault by its pointer", async () => {
    const { status, body } = await post("/tenants/shop/keys/web/rotate", { overlap_seconds: -1, overlap: 3 });
    expect(status).toBe(400);
    expect(body.errors.map((one: { pointer: string; code: string }) => [one.pointer, one.code]).toSorted()).toEqual([
      ["/overlap", "unknown_member"],
      ["/overlap_seconds", "invalid_format"],
    ]);
  });
});

describe("lanes", () => {
  test("a hold is kept in the log, counts when the answer comes, and is told with who and why", async () => {
    await gate.close();
    let told = 0;
    const holdsChanged = async (): Promise<void> => {
      told += 1;
    };
    await start({ ports: ({ workers }) => ({ workers: { ...workers, holdsChanged } }) });
    const paused = await post("/lanes/shop/0/raw/pause", { reason: "table locked" }, { token: TOKENS.operator });
    expect(paused.body).toMatchObject({ state: "paused", paused_by: "operator", reason: "table locked" });
    expect(told).toBe(1);
    expect((await get("/lanes")).body.items).toMatchObject([{ state: "paused" }]);
    const stale = await post("/lanes/shop/0/raw/resume", {}, { headers: { "if-match": '"0"' } });
    expect(stale.status).toBe(412);
    const tag = { "if-match": paused.headers.get("etag") ?? "" };
    expect((await post("/lanes/shop/0/raw/resume", {}, { headers: tag })).body).toMatchObject({ state: "running" });
    const entries = await audit();
    expect(entries[0]).toMatchObject({ action: "resume_lane", before: { paused: true }, after: { paused: false } });
    expect(entries[1]).toMatchObject({ action: "resume_lane", outcome: "failed", error: "precondition_failed" });
    expect(entries[2]).toMatchObject({ who: { id: "operator", role: "operator" }, tenant: "shop" });
  });

  test("a lane that runs can't skip", async () => {
    const { status, body } = await post("/lanes/shop/0/raw/skip", { sequence: 0, reason: "poison" });
    expect([status, body.code]).toEqual([409, "conflict"]);
    expect((await post("/lanes/shop/0/none/pause")).status).toBe(404);
  });
});

describe("jobs", () => {
  test("an idempotency key makes one job, whoever repeats it, and refuses another with the same key", async () => {
    const headers = { "idempotency-key": '"night-1"' };
    const job = { kind: "replay", selection: { received_from: "2025-03-01T12:00:00Z" } };
    const both = await Promise.all([0, 1].map(() => post("/tenants/shop/jobs", job, { headers })));
    const third = await post("/tenants/shop/jobs", job, { headers: { "idempotency-key": "night-1" } });
    const ids = [...both, third].filter(({ status }) => status === 201).map(({ body }) => body.id);
    expect(new Set(ids).size).toBe(1);
    expect(third.status).toBe(201);
    expect((await get("/jobs")).body.items).toHaveLength(1);
    const other = await post("/tenants/shop/jobs", { ...job, sinks: ["raw"] }, { headers });
    expect([other.status, other.body.code]).toEqual([422, "idempotency_conflict"]);
    // Another token's keys are its own.
    expect((await post("/tenants/shop/jobs", job, { headers, token: TOKENS.shop })).body.id).not.toBe(ids[0]);
  });

  test("a request that came to nothing can be repeated with its key", async () => {
    const headers = { "idempotency-key": "k" };
    const bad = { kind: "replay", sinks: ["none"] };
    expect((await post("/tenants/shop/jobs", bad, { headers })).status).toBe(400);
    expect((await post("/tenants/shop/jobs", { kind: "replay" }, { headers })).status).toBe(201);
  });

  test("are shown as they were asked for, and change by their version only", async () => {
    const selection = { received_from: "2025-03-01T12:00:00.000Z", event_types: ["order_paid"] };
    const made = await post("/tenants/shop/jobs", {
      kind: "replay",
      selection,
      sinks: ["raw"],
      rate: { events_per_second: 7 },
    });
    expect(made.body).toMatchObject({ state: "planned", selection, sinks: ["raw"], rate: { events_per_second: 7 } });
    const path = `/jobs/${made.body.id}`;
    const tag = made.headers.get("etag") ?? "";
    expect((await post(`${path}/rate`, { idle_share: 0.5 }, { headers: { "if-match": tag } })).status).toBe(200);
    expect((await post(`${path}/cancel`, undefined, { headers: { "if-match": tag } })).status).toBe(412);
    expect((await post(`${path}/cancel`)).body).toMatchObject({ state: "cancelled", rate: { idle_share: 0.5 } });
    expect((await post(`${path}/start`)).status).toBe(409);
    expect((await get(path, { token: TOKENS.other })).status).toBe(404);
  });
});

test("dead letters of another tenant can't be discarded, and nothing said discards nothing", async () => {
  const foreign = { letters: ["other/0/raw/1"], reason: "old" };
  expect((await post("/tenants/shop/dead-letters/discard", foreign)).status).toBe(404);
  expect((await post("/tenants/shop/dead-letters/discard", { reason: "old" })).status).toBe(400);
  expect((await post("/tenants/shop/dead-letters/discard", { all: true, reason: "old" })).body).toEqual({
    discarded: 0,
  });
});

test("the configuration changes by the version that was seen only", async () => {
  const tag = (await get("/config")).headers.get("etag");
  expect(tag).toBe('"7"');
  expect((await post("/config/apply", "version: 1")).status).toBe(428);
  expect((await post("/config/apply", "version: 1", { headers: { "if-match": '"6"' } })).status).toBe(412);
  expect((await post("/config/apply", "version: 1", { headers: { "if-match": '"7"' } })).status).toBe(200);
  expect((await post("/config/apply", { version: 1 }, { headers: { "if-match": "*" } })).status).toBe(415);
});

test("a tail gives a tenant's new events, of one type if asked, whole and in order", async () => {
  const gone = new AbortController();
  const headers = { authorization: `Bearer ${TOKENS.viewer}` };
  const url = `${gate.url}/admin/v1/tenants/shop/tail?type=order_paid`;
  await append("before", "order_paid");
  const response = await fetch(url, { headers, signal: gone.signal });
  expect(response.headers.get("content-type")).toContain("application/x-ndjson");
  let text = "";
  const reading = (async () => {
    for await (const chunk of response.body ?? []) text += Buffer.from(chunk).toString();
  })().catch(() => undefined);
  await append("e1", "order_paid");
  await append("e2", "sign_up");
  await append("e3", "order_paid");
  await until(async () => (text.includes("e3") ? true : undefined), "the last event");
  gone.abort();
  await reading;
  const lines = text.split("\n").filter((line) => line !== "");
  expect(lines.map((line) => JSON.parse(line).event_id)).toEqual(["e1", "e3"]);
  expect(lines[0]).toContain('"payload":{"big":12345678901234567890}');
});

test("no more than sixteen follow events at a time, and each that goes makes room", async () => {
  const headers = { authorization: `Bearer ${TOKENS.viewer}` };
  const follow = async () => {
    const gone = new AbortController();
    const { status } = await fetch(`${gate.url}/admin/v1/tenants/shop/tail`, { headers, signal: gone.signal });
    return { status, gone };
  };
  const tails = await Promise.all(Array.from({ length: 16 }, follow));
  expect(tails.map(({ status }) => status)).toEqual(tails.map(() => 200));
  expect((await follow()).status).toBe(503);
  for (const { gone } of tails) gone.abort();
  await until(async () => {
    const { status, gone } = await follow();
    gone.abort();
    return status === 200 ? true : undefined;
  }, "room for one more");
});

async function append(eventId: string, eventType: string): Promise<void> {
  const parts = { eventId, tenantId: "shop", eventType, source: "http" as const };
  const bytes = encodeParts({ ...parts, payload: Buffer.from('{"big":12345678901234567890}') });
  await log.append([{ stream: { tenantId: "shop", partition: 0 }, eventId, bytes }]);
}
