import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeEvent } from "../../core/canonical/codec.ts";
import { type ErrorCode, PulseGateError } from "../../core/canonical/errors.ts";
import { call, checkSchema, type Gate, startGate } from "../../tests/helpers/http-gate.ts";

let gate: Gate;
/** What the log's next appends reject with. */
let fault: unknown;

beforeAll(async () => {
  gate = await startGate({
    writer: (log) => ({
      append: (entries) => (fault === undefined ? log.append(entries) : Promise.reject(fault)),
      probe: () => log.probe(),
    }),
  });
});
afterAll(() => gate.close());

const post = (body: string, headers: Record<string, string> = {}) => call(`${gate.url}/v1/events`, { body, headers });

async function event(id: string) {
  const position = await gate.log.find("shop", id);
  if (position === undefined) throw new Error(`no event ${id}`);
  const [entry] = await gate.log.read(position.stream, position.sequence, { entries: 1, bytes: 1 });
  return decodeEvent(entry!.bytes);
}

describe("POST /v1/events", () => {
  it("answers 202 with id, position and time once the event is in the log", async () => {
    const answer = await post(
      '{"event_type": "user_sign_up", "user_id": "u_123", "ip": "8.8.8.8", "timestamp": "2025-03-01T12:00:00Z"}',
    );
    expect(answer.status).toBe(202);
    expect(answer.headers["content-type"]).toBe("application/json");
    checkSchema("Ack", answer.json);
    expect(answer.json.position).toMatch(/^shop\/0\/\d+$/);
    expect(await event(answer.json.event_id)).toMatchObject({
      tenant_id: "shop",
      event_type: "user_sign_up",
      occurred_at: "2025-03-01T12:00:00Z",
      received_at: answer.json.received_at,
      source: "http",
      payload: { user_id: "u_123", ip: "8.8.8.8" },
    });
  });

  it("repeats the first answer for a repeat, marked as duplicate", async () => {
    const first = await post('{"event_type":"a","event_id":"r\\"1"}');
    const second = await post('{"event_type":"a","event_id":"r\\"1"}');
    expect(second.status).toBe(202);
    expect(second.json).toEqual({ ...first.json, duplicate: true });
    expect(first.json.event_id).toBe('r"1');
  });

  it("answers 422 when an id comes back with another event", async () => {
    await post('{"event_type":"a","event_id":"c1","x":1}');
    const answer = await post('{"event_type":"a","event_id":"c1","x":2}');
    expect(answer.status).toBe(422);
    expect(answer.json).toMatchObject({
      code: "idempotency_conflict",
      retryable: false,
      errors: [{ pointer: "/event_id", code: "already_used" }],
    });
  });

  it.each(['"key 1"', "key-2", '"a\\"b\\\\c"'])(
    "takes the Idempotency-Key header %s, and tells repeats by it",
    async (key) => {
      const first = await post('{"event_type":"a"}', { "idempotency-key": key });
      const second = await post('{"event_type":"a"}', { "idempotency-key": key });
      expect([first.status, second.status]).toEqual([202, 202]);
      expect(second.json).toEqual({ ...first.json, duplicate: true });
      expect((await event(first.json.event_id)).idempotency_key).toBe(key.startsWith('"') ? JSON.parse(key) : key);
      const other = await post('{"event_type":"b"}', { "idempotency-key": key });
      expect(other.json).toMatchObject({
        status: 422,
        code: "idempotency_conflict",
        errors: [{ pointer: "/idempotency_key", code: "already_used" }],
      });
    },
  );

  it.each(['"open', "two words", "a,b", '""', '"a";p=1', "é", "x".repeat(256)])(
    "refuses the Idempotency-Key header %s",
    async (key) => {
      const answer = await post('{"event_type":"a"}', { "idempotency-key": key });
      expect(answer.json).toMatchObject({ status: 400, code: "malformed_request" });
    },
  );

  it("names all violations with their pointers", async () => {
    const answer = await post('{"event_type":"a b","tenant_id":"other","x/y":1e400}');
    expect(answer.status).toBe(422);
    expect(answer.json.code).toBe("invalid_event");
    expect(answer.json.errors.map((error: { pointer: string }) => error.pointer)).toEqual([
      "/event_type",
      "/tenant_id",
      "/x~1y",
    ]);
  });

  it("answers 400 to what is not JSON, with pointer and place", async () => {
    const answer = await post('{"event_type":"a","x":[1,}');
    expect(answer.json).toMatchObject({
      status: 400,
      code: "malformed_json",
      errors: [{ pointer: "/x/1", code: "invalid_json" }],
    });
    expect((await post("")).json).toMatchObject({ status: 400, code: "malformed_json" });
  });

  it("writes a problem that holds more than ASCII", async () => {
    const answer = await post('{"event_type":"a","payload":{},"ключ":1}');
    expect(answer.json.errors[0].pointer).toBe("/ключ");
  });

  it("takes the tenant from the credential alone", async () => {
    const answer = await post('{"event_type":"a","event_id":"same"}', { "x-api-key": "other-key" });
    expect(answer.json.position).toMatch(/^other\/0\//);
    expect((await post('{"event_type":"b","event_id":"same"}')).json.position).toMatch(/^shop\/0\//);
  });
});

describe("credentials", () => {
  it.each([
    ["none", { "x-api-key": "" }],
    ["an empty one", { "x-api-key": " " }],
    ["a wrong one", { "x-api-key": "shop-key2" }],
    ["another scheme", { "x-api-key": "", authorization: "Basic c2hvcC1rZXk=" }],
    ["a bare token", { "x-api-key": "", authorization: "shop-key" }],
  ])("answers 401 to %s and asks for a key", async (_what, headers) => {
    const answer = await post('{"event_type":"a"}', headers);
    expect(answer.json).toMatchObject({ status: 401, code: "unauthenticated", retryable: false });
    expect(answer.headers["www-authenticate"]).toMatch(/^Bearer /);
  });

  it.each(["Bearer shop-key", "bearer  shop-key"])("takes Authorization: %s", async (authorization) => {
    expect((await post('{"event_type":"a"}', { "x-api-key": "", authorization })).status).toBe(202);
  });
});

describe("media types", () => {
  it.each([
    "application/json",
    "APPLICATION/JSON",
    "application/json; charset=utf-8",
    'application/json;charset="UTF-8"',
    "",
  ])("takes %j", async (type) => {
    expect((await post('{"event_type":"a"}', { "content-type": type })).status).toBe(202);
  });

  it.each([
    "application/x-www-form-urlencoded",
    "text/plain",
    "application/x-ndjson",
    "application/json; charset=latin1",
    "application/jsonx",
    "multipart/form-data; boundary=x",
  ])("refuses %j and says what to send", async (type) => {
    const answer = await post('{"event_type":"a"}', { "content-type": type });
    expect(answer.json).toMatchObject({ status: 415, code: "unsupported_media_type" });
    expect(answer.headers["accept-post"]).toBe("application/json");
    expect(answer.json.detail).toContain("Content-Type: application/json");
  });
});

describe("traces", () => {
  const traceId = "0af7651916cd43dd8448eb211c80319c";
  const traceparent = `00-${traceId}-b7ad6b7169203331-01`;

  it("gives the traceparent's trace id to the event and to problems", async () => {
    const answer = await post('{"event_type":"a"}', { traceparent });
    expect((await event(answer.json.event_id)).trace_id).toBe(traceId);
    expect((await post("{", { traceparent })).json.trace_id).toBe(traceId);
    expect((await post("{}", { traceparent: `01-${traceId}-b7ad6b7169203331-01-more` })).json.trace_id).toBe(traceId);
  });

  it.each([
    "",
    "x",
    traceparent.toUpperCase(),
    `${traceparent}0`,
    `${traceparent}-x`,
    traceparent.replace("00-", "ff-"),
    traceparent.replace(traceId, "0".repeat(32)),
    traceparent.replace("b7ad6b7169203331", "0".repeat(16)),
    traceparent.replace("b7", "g7"),
    traceparent.replaceAll("-", "_"),
  ])("ignores the malformed traceparent %j", async (malformed) => {
    const { json } = await post("{}", { traceparent: malformed });
    expect(json.status).toBe(422);
    expect(json.trace_id).toMatch(/^[0-9a-f]{32}$/);
    expect(json.trace_id).not.toBe(traceId);
  });
});

describe("faults of ours", () => {
  const during = async (error: unknown) => {
    fault = error;
    try {
      return await post('{"event_type":"a"}');
    } finally {
      fault = undefined;
    }
  };

  it.each(["log_unavailable", "log_full", "overloaded", "shutting_down"] as const)(
    "answers %s as 503 that may be retried",
    async (code) => {
      const answer = await during(new PulseGateError(code, "no", { retryAfterMs: 2500 }));
      expect(answer.json).toMatchObject({ status: 503, code, retryable: true });
      expect(answer.headers["retry-after"]).toBe("3");
      expect(gate.backpressure.at(-1)).toEqual(["shop", code]);
    },
  );

  it.each(["invalid_event", "not_found", "version_conflict", "internal"] satisfies ErrorCode[])(
    "never answers the log's own %s as the client's",
    async (code) => {
      expect((await during(new PulseGateError(code, "secret"))).json).toMatchObject({
        status: 500,
        code: "internal",
        retryable: true,
      });
    },
  );

  it.each(["log_corrupt", "fenced"] satisfies ErrorCode[])(
    "answers the log's inner %s as log_unavailable",
    async (code) => {
      expect((await during(new PulseGateError(code, "secret"))).json).toMatchObject({
        status: 503,
        code: "log_unavailable",
      });
    },
  );

  it("answers what nobody foresaw as 500, logs it, and tells the client nothing of it", async () => {
    const answer = await during(new TypeError("secret"));
    expect(answer.json).toMatchObject({ status: 500, code: "internal", retryable: true });
    expect(answer.text).not.toContain("secret");
    expect(gate.logged.at(-1)).toMatch(/^error /);
  });
});

describe("paths and methods", () => {
  it.each(["/", "/v1", "/v1/event", "/v1/events/", "/v1/events/a/b", "/v2/events", "/V1/events", "/metrics", "/%00"])(
    "knows nothing at %s",
    async (path) => {
      expect((await call(`${gate.url}${path}`, { method: "GET" })).json).toMatchObject({
        status: 404,
        code: "not_found",
      });
    },
  );

  it.each([
    ["GET", "/v1/events", "POST"],
    ["DELETE", "/v1/events", "POST"],
    ["OPTIONS", "/v1/events/batch", "POST"],
    ["GET", "/v1/events/batch", "POST"],
    ["PUT", "/v1/events/x", "GET, HEAD"],
    ["POST", "/openapi.json", "GET, HEAD"],
  ])("answers 405 to %s %s and says what is allowed", async (method, path, allow) => {
    const answer = await call(`${gate.url}${path}`, { method });
    expect(answer.json).toMatchObject({ status: 405, code: "method_not_allowed" });
    expect(answer.headers["allow"]).toBe(allow);
  });

  it("does not mind a query", async () => {
    expect((await call(`${gate.url}/v1/events?x=/y`, { body: '{"event_type":"a"}' })).status).toBe(202);
  });
});

describe("GET /v1/events/{event_id}", () => {
  const get = (segment: string, headers: Record<string, string> = {}, method = "GET") =>
    call(`${gate.url}/v1/events/${segment}`, { method, headers });

  it("tells the fate by id and by position", async () => {
    const { json: ack } = await post(
      '{"event_type":"a","event_id":"fate/1 %".trim"}'.replace('"fate/1 %".trim"', '"fate/1%"'),
    );
    const answer = await get(encodeURIComponent("fate/1%"));
    expect(answer.status).toBe(200);
    checkSchema("Fate", answer.json);
    expect(answer.json).toMatchObject({ ...ack, event_type: "a", lanes: [] });
    expect((await get(encodeURIComponent(ack.position))).json).toEqual(answer.json);
  });

  it("answers a HEAD like a GET without a body", async () => {
    await post('{"event_type":"a","event_id":"head"}');
    const [head, whole] = [await get("head", {}, "HEAD"), await get("head")];
    expect(head).toMatchObject({ status: 200, text: "" });
    expect(head.headers["content-length"]).toBe(String(whole.text.length));
  });

  it("knows no event of another tenant", async () => {
    const { json: ack } = await post('{"event_type":"a","event_id":"mine"}');
    for (const segment of ["mine", encodeURIComponent(ack.position)]) {
      expect((await get(segment, { "x-api-key": "other-key" })).json).toMatchObject({ status: 404, code: "not_found" });
    }
    expect((await get("mine", { "x-api-key": "" })).status).toBe(401);
  });

  it.each(["nope", "%ff", "%", "shop%2F0%2F999999", "x".repeat(1000), "..%2f..%2fetc"])(
    "answers 404 to %s",
    async (segment) => {
      expect((await get(segment)).json).toMatchObject({ status: 404, code: "not_found" });
    },
  );
});

it("counts every answer with its status and tenant", () => {
  const statuses = new Set(gate.answered.map(({ status }) => status));
  for (const status of [200, 202, 400, 401, 404, 405, 415, 422, 500, 503]) expect(statuses).toContain(status);
  for (const { status, tenantId, latencyMs } of gate.answered) {
    expect(latencyMs).toBeGreaterThanOrEqual(0);
    if (status === 202) expect(tenantId).toMatch(/^(shop|other)$/);
    if (status === 401) expect(tenantId).toBeUndefined();
  }
});
