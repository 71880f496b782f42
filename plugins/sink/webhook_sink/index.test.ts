import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Webhook } from "standardwebhooks";
import { describe, expect, onTestFinished, test } from "vitest";
import { sinkConformance } from "../../../tests/conformance/sink.ts";
import { eventOf, eventsOf } from "../../../tests/helpers/sink-events.ts";
import { type Endpoint, type Received, startEndpoint } from "../../testing/endpoint.ts";
import { until } from "../../../tests/helpers/until.ts";
import { encodeEvent, type PluginContext, type SinkPlugin } from "../../contract.ts";
import { contextOf } from "../../testing/events.ts";
import { webhookTarget } from "./conformance.ts";
import plugin from "./index.ts";

const SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;
const OLD_SECRET = `whsec_${Buffer.alloc(24, 9).toString("base64")}`;

async function webhookSink(port: number, options: Record<string, unknown> = {}): Promise<SinkPlugin> {
  const sink = plugin.create();
  const url = `http://127.0.0.1:${port}/hook?a=1`;
  await sink.init?.(plugin.config.parse({ url, secrets: [SECRET], allow: ["127.0.0.1"], ...options }));
  return sink;
}

/** A sink on an endpoint of its own; both end with the test. */
async function open(options: Record<string, unknown> = {}): Promise<{ sink: SinkPlugin; endpoint: Endpoint }> {
  const endpoint = await startEndpoint();
  onTestFinished(() => endpoint.close());
  const sink = await webhookSink(endpoint.port, options);
  onTestFinished(() => sink.close?.());
  return { sink, endpoint };
}

/** Answers all with one status. */
const status =
  (code: number, headers: Record<string, string> = {}, body = ""): NonNullable<Endpoint["answer"]> =>
  (_, response) =>
    void response.writeHead(code, headers).end(body);

const PIECE = "x".repeat(64 * 1024);

const send = (sink: SinkPlugin, n = 1) => sink.send(eventOf(n), contextOf());
const batch = async (sink: SinkPlugin, count: number) => (await sink.sendBatch?.(eventsOf(count), contextOf())) ?? [];
const idsOf = (received: readonly Received[]) => received.map(({ headers }) => String(headers["webhook-id"]));

sinkConformance({ definition: plugin, target: webhookTarget }, ["the sink claims no order (`keepsOrder`)"]);

describe("the request", () => {
  test("holds the canonical bytes of the event, and its headers verify with another's implementation", async () => {
    const { sink, endpoint } = await open();
    const event = eventOf(1, '{"big":12345678901234567890.10,"text":"a\\u0000\\ud800\\n"}');
    expect(await sink.send(event, contextOf())).toEqual({ type: "ok" });
    const [request] = endpoint.received as [Received];
    expect(request).toMatchObject({ method: "POST", path: "/hook?a=1" });
    expect(request.body.equals(encodeEvent(event))).toBe(true);
    expect(request.headers).toMatchObject({
      "content-type": "application/json",
      "content-length": String(request.body.length),
      "webhook-id": "event-1",
    });
    expect(() => new Webhook(SECRET).verify(request.body, request.headers as Record<string, string>)).not.toThrow();
    const other = `whsec_${Buffer.alloc(32, 8).toString("base64")}`;
    expect(() => new Webhook(other).verify(request.body, request.headers as Record<string, string>)).toThrow();
  });

  test("is signed by every secret, so that receivers may change theirs one by one", async () => {
    const { sink, endpoint } = await open({ secrets: [SECRET, OLD_SECRET] });
    await send(sink);
    const [request] = endpoint.received as [Received];
    const headers = request.headers as Record<string, string>;
    expect(headers["webhook-signature"]).toMatch(/^v1,\S{44} v1,\S{44}$/);
    for (const secret of [SECRET, OLD_SECRET])
      expect(() => new Webhook(secret).verify(request.body, headers)).not.toThrow();
  });

  test("carries the bare payload byte for byte if that is asked for", async () => {
    const { sink, endpoint } = await open({ body: "payload" });
    const payload = '{"z":1, "a":[1.10,12345678901234567890,1e2],"z":2,"half":"\\ud800"}';
    await sink.send(eventOf(1, payload), contextOf());
    const [request] = endpoint.received as [Received];
    expect(request.body.toString()).toBe(payload);
    expect(() => new Webhook(SECRET).verify(request.body, request.headers as Record<string, string>)).not.toThrow();
  });

  test("keeps full stops out of the id, and different ids apart", async () => {
    const { sink, endpoint } = await open({ concurrency: 1 });
    for (const eventId of ["a.b", "a%2Eb", "~x/y?z#"]) await sink.send(eventOf(1, "{}", { eventId }), contextOf());
    expect(idsOf(endpoint.received)).toEqual(["a%2Eb", "a%252Eb", "~x/y?z#"]);
    const [request] = endpoint.received as [Received];
    expect(() => new Webhook(SECRET).verify(request.body, request.headers as Record<string, string>)).not.toThrow();
  });

  test("has the operator's headers, and never lets them stand in for ours", async () => {
    const { sink, endpoint } = await open({ headers: { authorization: "Bearer x", "user-agent": "mine" } });
    await send(sink);
    expect(endpoint.received[0]?.headers).toMatchObject({ authorization: "Bearer x", "user-agent": "mine" });
    const options = { url: "https://example.com", secrets: [SECRET] };
    for (const name of ["Webhook-Id", "content-length", "Host", "bad name"])
      expect(plugin.config.safeParse({ ...options, headers: { [name]: "x" } }).success).toBe(false);
    expect(plugin.config.safeParse({ ...options, headers: { ok: "a\r\nb: c" } }).success).toBe(false);
  });

  test("goes over connections that are used again, never more than are allowed", async () => {
    const { sink, endpoint } = await open({ concurrency: 4 });
    expect((await batch(sink, 200)).filter(({ type }) => type === "ok").length).toBe(200);
    expect(endpoint.connections).toBeLessThanOrEqual(4);
  });

  test("is one after the other, in order, with a concurrency of 1", async () => {
    const { sink, endpoint } = await open({ concurrency: 1 });
    await batch(sink, 50);
    expect(idsOf(endpoint.taken)).toEqual(eventsOf(50).map(({ event_id }) => event_id));
  });

  test("is made anew when its idle connection was closed under it", async () => {
    const { sink, endpoint } = await open({ concurrency: 1 });
    await send(sink, 1);
    endpoint.answer = ({ connection }, response) => {
      if (connection === 1) response.destroy();
      else response.writeHead(204).end();
    };
    expect(await send(sink, 2)).toEqual({ type: "ok" });
    expect(idsOf(endpoint.received)).toEqual(["event-1", "event-2", "event-2"]);
  });
});

describe("an answer", () => {
  test.each([200, 201, 202, 204, 299])("%d is success", async (code) => {
    const { sink, endpoint } = await open();
    endpoint.answer = status(code);
    expect(await send(sink)).toEqual({ type: "ok" });
  });

  test.each([400, 401, 403, 404, 405, 409, 413, 422, 451])("%d is for good, with the body kept", async (code) => {
    const { sink, endpoint } = await open();
    endpoint.answer = status(code, {}, "no such order");
    expect(await send(sink)).toEqual({
      type: "error",
      code: String(code),
      reason: `the endpoint answered ${code}`,
      response: "no such order",
    });
  });

  test.each([408, 425, 500, 501, 507])("%d is for another try, with the body kept", async (code) => {
    const { sink, endpoint } = await open();
    endpoint.answer = status(code, {}, "oops");
    expect(await send(sink)).toMatchObject({ type: "retry", code: String(code), unavailable: false, response: "oops" });
  });

  test.each([429, 502, 503, 504])("%d is an outage", async (code) => {
    const { sink, endpoint } = await open();
    endpoint.answer = status(code);
    expect(await send(sink)).toMatchObject({ type: "retry", code: String(code), unavailable: true });
  });

  test.each([301, 302, 303, 307, 308])("%d is not followed: an outage until the url is corrected", async (code) => {
    const { sink, endpoint } = await open();
    endpoint.answer = ({ path }, response) =>
      void (path === "/other" ? response.writeHead(204) : response.writeHead(code, { location: "/other" })).end();
    expect(await send(sink)).toMatchObject({ type: "retry", code: String(code), unavailable: true });
    expect(endpoint.received.length).toBe(1);
  });

  test("that is long is kept to its first 8 KiB", async () => {
    const { sink, endpoint } = await open();
    endpoint.answer = status(400, {}, "x".repeat(1_000_000));
    const outcome = await send(sink);
    expect(outcome.type === "error" && outcome.response?.length).toBe(8_192);
    expect(await send(sink)).toMatchObject({ type: "error" });
  });

  test("that never ends is cut off, not read until the deadline", async () => {
    const { sink, endpoint } = await open();
    let written = 0;
    endpoint.answer = (_, response) => {
      response.writeHead(400);
      const more = () => {
        written += PIECE.length;
        if (response.write(PIECE)) setImmediate(more);
        else response.once("drain", more);
      };
      more();
    };
    expect(await send(sink)).toMatchObject({ type: "error", response: expect.stringMatching(/^x{8192}$/) });
    expect(written).toBeLessThan(64 * 1024 * 1024);
  });

  test("of success counts, even if its body breaks off", async () => {
    const { sink, endpoint } = await open();
    endpoint.answer = (_, response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write("half");
      setImmediate(() => response.destroy());
    };
    expect(await send(sink)).toEqual({ type: "ok" });
    expect(endpoint.received.length).toBe(1);
  });

  test("that does not come in time is an outage", async () => {
    const { sink, endpoint } = await open({ timeout_ms: 1_000 });
    endpoint.answer = () => {};
    expect(await send(sink)).toMatchObject({ type: "retry", code: "timeout", unavailable: true });
  });
});

describe("Retry-After", () => {
  const waitOf = async (value: string, code = 503) => {
    const { sink, endpoint } = await open();
    endpoint.answer = status(code, { "retry-after": value });
    const outcome = await send(sink);
    return outcome.type === "retry" ? outcome.retryAfterMs : undefined;
  };

  test("in seconds is kept", async () => {
    expect(await waitOf("120")).toBe(120_000);
    expect(await waitOf("7", 500)).toBe(7_000);
  });

  test("as a date is kept", async () => {
    const waitMs = await waitOf(new Date(Date.now() + 120_000).toUTCString());
    expect(waitMs).toBeGreaterThan(60_000);
    expect(waitMs).toBeLessThanOrEqual(120_000);
    expect(await waitOf("Sun, 06 Nov 1994 08:49:37 GMT")).toBe(0);
  });

  test.each(["soon", "-5", "1.5", "Tuesday", "99999999999999"])("%s means nothing", async (value) => {
    expect(await waitOf(value)).toBeUndefined();
  });

  test("of a 429 stops what is still to be sent, and the next calls, until it is over", async () => {
    const { sink, endpoint } = await open({ concurrency: 2 });
    endpoint.answer = status(429, { "retry-after": "3600" });
    const outcomes = await batch(sink, 100);
    expect(endpoint.received.length).toBeLessThanOrEqual(2);
    expect(outcomes.filter((outcome) => outcome.type === "retry" && outcome.untried === true).length).toBe(
      100 - endpoint.received.length,
    );
    const before = endpoint.received.length;
    const next = await send(sink, 101);
    expect(next).toMatchObject({ type: "retry", code: "throttled", unavailable: true });
    expect(next.type === "retry" && next.retryAfterMs).toBeGreaterThan(3_000_000);
    expect(endpoint.received.length).toBe(before);
  });
});

describe("an endpoint that answers 410", () => {
  test("is disabled: no further request, each event waits, and the log and a count say so once", async () => {
    const { sink, endpoint } = await open({ concurrency: 1 });
    await send(sink);
    endpoint.answer = status(410, {}, "we moved out");
    const said: string[] = [];
    const counted: string[] = [];
    const ctx: PluginContext = {
      ...contextOf(),
      logger: { debug() {}, info() {}, warn() {}, error: (_, message) => void said.push(message) },
      metrics: { count: (name) => void counted.push(name), observe() {} },
    };
    expect(await sink.send(eventOf(2), ctx)).toMatchObject({
      type: "retry",
      code: "410",
      unavailable: true,
      response: "we moved out",
    });
    endpoint.answer = undefined;
    expect(await sink.sendBatch?.(eventsOf(3), ctx)).toEqual(
      new Array(3).fill(expect.objectContaining({ type: "retry", code: "410", unavailable: true })),
    );
    expect(endpoint.received.length).toBe(2);
    expect(said).toEqual([expect.stringContaining("disabled")]);
    expect(counted).toEqual(["disabled_total"]);
    await expect(sink.check?.(new AbortController().signal)).resolves.toBeUndefined();
  });
});

test("a target that is out is asked by few events, not by all of a batch", async () => {
  const { sink, endpoint } = await open({ concurrency: 4 });
  endpoint.answer = status(503);
  const outcomes = await batch(sink, 1_000);
  expect(endpoint.received.length).toBeLessThanOrEqual(4);
  expect(outcomes).toEqual(outcomes.map(() => expect.objectContaining({ type: "retry", unavailable: true })));
});

test("one bad event of many is the only one refused", async () => {
  const { sink, endpoint } = await open();
  endpoint.answer = ({ headers }, response) =>
    void response.writeHead(headers["webhook-id"] === "event-7" ? 422 : 200).end();
  const outcomes = await batch(sink, 20);
  expect(outcomes.map(({ type }) => type)).toEqual(eventsOf(20).map((_, i) => (i === 6 ? "error" : "ok")));
});

test("speaks TLS, and to nobody whose certificate does not hold", async () => {
  const testdata = join(import.meta.dirname, "../postgres_sink/testdata");
  const [key, cert] = await Promise.all(["server.key", "server.pem"].map((name) => readFile(join(testdata, name))));
  const endpoint = await startEndpoint({ key: key as Buffer, cert: cert as Buffer });
  onTestFinished(() => endpoint.close());
  const options = { url: `https://localhost:${endpoint.port}/`, allow: ["localhost"] };
  const trusting = await webhookSink(0, { ...options, ca_file: join(testdata, "ca.pem") });
  const doubting = await webhookSink(0, options);
  onTestFinished(async () => {
    await Promise.all([trusting.close?.(), doubting.close?.()]);
  });
  expect(await send(trusting)).toEqual({ type: "ok" });
  expect(await send(doubting)).toMatchObject({ type: "retry", unavailable: true });
  expect(endpoint.received.length).toBe(1);
});

test("a delivery that is cancelled half-way lets go of its connections", async () => {
  const { sink, endpoint } = await open({ concurrency: 2 });
  const closed: Promise<unknown>[] = [];
  endpoint.answer = (_, response) => void closed.push(once(response, "close"));
  const deadline = new AbortController();
  const delivery = sink.sendBatch?.(eventsOf(10), contextOf(deadline.signal));
  await until(() => (endpoint.received.length === 2 ? true : undefined), "two requests");
  deadline.abort();
  const outcomes = (await delivery) ?? [];
  expect(outcomes).toEqual(outcomes.map(() => expect.objectContaining({ type: "retry", code: "aborted" })));
  await Promise.all(closed);
});
