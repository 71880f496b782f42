import { afterEach, describe, expect, it } from "vitest";
import type { QuotaConfig } from "../../core/ingestion/revision.ts";
import { createDoor } from "../../core/qps/door.ts";
import { call, type Gate, type GateOptions, startGate, TENANTS } from "../../tests/helpers/http-gate.ts";
import { rawPost, rawSocket } from "../../tests/helpers/raw-socket.ts";
import { SimClock } from "../../tests/helpers/sim-clock.ts";

const EVENT = '{"event_type":"a"}';
const TEN = 10;
/** One event a minute; bytes come back a hundred a second. */
const AGAIN: QuotaConfig = {
  events: { perSecond: 1 / 60, burst: 1 },
  bytes: { perSecond: 100, burst: 1000 },
};
const lines = (count: number) => `${EVENT}\n`.repeat(count);

let gate: Gate | undefined;
afterEach(async () => {
  await gate?.close();
  gate = undefined;
});

/** A gate whose tenant `shop` has a quota; time stands still unless the clock is told. */
async function startWith(quota: QuotaConfig, options: GateOptions = {}) {
  const clock = new SimClock();
  const tenants = TENANTS.map((tenant) => (tenant.id === "shop" ? { ...tenant, quota } : tenant));
  const door = createDoor({ tenants }, clock);
  gate = await startGate({ ...options, quota, http: { door } });
  return { gate, clock, door, tenants };
}

const post = (url: string, body = EVENT, headers: Record<string, string> = {}) =>
  call(`${url}/v1/events`, { body, headers });
const postLines = (url: string, count: number) =>
  call(`${url}/v1/events/batch`, { body: lines(count), headers: { "content-type": "application/x-ndjson" } });

describe("a tenant's quota of events", () => {
  it("lets its burst in, then answers 429 with the policy, and stores nothing of that", async () => {
    const { gate } = await startWith({ events: { perSecond: TEN, burst: TEN } });
    for (let i = 0; i < TEN; i++) expect((await post(gate.url)).status).toBe(202);
    const refused = await post(gate.url);
    expect(refused.status).toBe(429);
    expect(refused.json).toMatchObject({ code: "quota_exceeded", retryable: true, "violated-policies": ["events"] });
    expect(refused.headers["retry-after"]).toBe("1");
    expect(await gate.stored()).toBe(TEN);
    expect(gate.backpressure).toEqual([["shop", "events"]]);
  });

  it("tells on every answer what is left, in the form of the RateLimit draft", async () => {
    const { gate } = await startWith({
      events: { perSecond: 2, burst: 2 },
      bytes: { perSecond: 5000, burst: 6000 },
      requestsInFlight: 3,
    });
    const first = await post(gate.url);
    expect(first.headers["ratelimit-policy"]).toBe(
      '"events";q=2;w=1, "bytes";q=5000;w=1;qu="content-bytes", "requests";q=3;qu="concurrent-requests"',
    );
    expect(first.headers.ratelimit).toBe(`"events";r=1;t=1, "bytes";r=${6000 - EVENT.length};t=1, "requests";r=2`);
    await post(gate.url);
    const refused = await post(gate.url);
    expect(refused.headers.ratelimit).toContain('"events";r=0;t=1');
  });

  it("gives an answer again for a moment, each time with a trace id of its own", async () => {
    const clock = new SimClock();
    const tenants = TENANTS.map((tenant) => (tenant.id === "shop" ? { ...tenant, quota: AGAIN } : tenant));
    const door = createDoor({ tenants }, clock);
    gate = await startGate({ http: { door, clock } });
    const { url } = gate;
    await post(url);
    const refused = async (afterMs: number) => {
      await clock.advance(afterMs);
      const { status, json, headers } = await post(url);
      expect(status).toBe(429);
      return { traceId: json.trace_id, bytesLeft: /"bytes";r=(\d+)/.exec(String(headers.ratelimit))?.[1] };
    };
    const left = 1000 - EVENT.length;
    const answers = [await refused(0), await refused(50), await refused(60), await refused(10)];
    expect(answers.map(({ bytesLeft }) => Number(bytesLeft))).toEqual([left, left, left + 11, left + 11]);
    expect(new Set(answers.map(({ traceId }) => traceId)).size).toBe(4);
    for (const { traceId } of answers) expect(traceId).toMatch(/^[0-9a-f]{32}$/);
    // What it says must be so at once, however fresh the last one is.
    await clock.advance(870);
    expect((await post(url)).headers["retry-after"]).toBe("60");
    await clock.advance(20);
    expect((await post(url)).headers["retry-after"]).toBe("59");
    door.quotaOf("shop")!.isBehind = true;
    expect((await post(url)).json["violated-policies"]).toEqual(["events", "backlog"]);
    const headers = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" };
    expect((await post(url, EVENT, headers)).json.trace_id).toBe("0af7651916cd43dd8448eb211c80319c");
  });

  it("never lets Retry-After be earlier than the end of the debt", async () => {
    const { gate, clock } = await startWith({ events: { perSecond: 2, burst: 20 } });
    for (const count of [19, 20]) expect((await postLines(gate.url, count)).status).toBe(202);
    const refused = await post(gate.url);
    expect(refused.headers["retry-after"]).toBe("10");
    await clock.advance(9_900);
    expect((await post(gate.url)).status).toBe(429);
    await clock.advance(200);
    expect((await post(gate.url)).status).toBe(202);
  });

  it("counts each event of a batch", async () => {
    const { gate, clock } = await startWith({ events: { perSecond: TEN, burst: TEN } });
    expect((await postLines(gate.url, TEN)).status).toBe(202);
    expect((await postLines(gate.url, 1)).status).toBe(429);
    await clock.advance(1000);
    expect((await postLines(gate.url, TEN)).status).toBe(202);
  });

  it("answers 413 to a batch that it would never let in", async () => {
    const { gate } = await startWith({ events: { perSecond: TEN, burst: TEN } });
    const refused = await postLines(gate.url, TEN + 1);
    expect(refused.status).toBe(413);
    expect(refused.json.code).toBe("batch_too_large");
    expect(await gate.stored()).toBe(0);
  });

  it("leaves other tenants alone", async () => {
    const { gate } = await startWith({ events: { perSecond: 1, burst: 1 } });
    await post(gate.url);
    expect((await post(gate.url)).status).toBe(429);
    const other = await post(gate.url, EVENT, { "x-api-key": "other-key" });
    expect(other.status).toBe(202);
    expect(other.headers).not.toHaveProperty("ratelimit");
  });

  it("goes on from its level after a reload", async () => {
    const { gate, door, tenants } = await startWith({ events: { perSecond: 1, burst: 1 } });
    await post(gate.url);
    door.apply({ tenants });
    expect((await post(gate.url)).status).toBe(429);
    const wider = { events: { perSecond: 100, burst: 100 } };
    door.apply({ tenants: tenants.map((tenant) => ({ ...tenant, quota: wider })) });
    expect((await post(gate.url)).status).toBe(429);
    door.apply({ tenants: tenants.map(({ quota: _, ...tenant }) => tenant) });
    expect((await post(gate.url)).status).toBe(202);
  });
});

describe("a quota of bytes", () => {
  it("is charged from the head, so that what is over it is refused before its body is read", async () => {
    const { gate, clock } = await startWith({ bytes: { perSecond: 1000, burst: 1000 } });
    expect((await post(gate.url, `{"event_type":"a","text":"${"x".repeat(1500)}"}`)).status).toBe(202);
    const client = await rawSocket(gate.port);
    client.send(rawPost("", ["Content-Length: 100"]));
    expect(await client.until((text) => text.includes("bytes per second"))).toMatch(/^HTTP\/1\.1 429 /);
    client.socket.destroy();
    await clock.advance(1000);
    expect((await post(gate.url)).status).toBe(202);
  });

  it("counts what a body is after decoding", async () => {
    const { gate } = await startWith({ bytes: { perSecond: 1000, burst: 1000 } });
    const { gzipSync } = await import("node:zlib");
    const bomb = gzipSync(`{"event_type":"a","text":"${"x".repeat(5000)}"}`);
    expect(bomb.length).toBeLessThan(1000);
    const sent = await call(`${gate.url}/v1/events`, { body: bomb, headers: { "content-encoding": "gzip" } });
    expect(sent.status).toBe(202);
    expect((await post(gate.url)).headers["retry-after"]).toBe("5");
  });
});

it("bounds the requests under way, and takes those back that went away", async () => {
  const held = Promise.withResolvers<void>();
  const { gate } = await startWith(
    { requestsInFlight: 1 },
    {
      writer: (log) => ({
        probe: () => log.probe(),
        append: async (entries) => {
          await held.promise;
          return log.append(entries);
        },
      }),
    },
  );
  const slow = await rawSocket(gate.port);
  slow.send(rawPost("", ["Content-Length: 10"]));
  await expect.poll(async () => (await post(gate.url)).json?.["violated-policies"]).toEqual(["requests"]);
  slow.socket.destroy();
  held.resolve();
  await expect.poll(async () => (await post(gate.url)).status).toBe(202);
});

it("closes the door to a tenant whose lanes are too far behind, until they are not", async () => {
  const { gate, door } = await startWith({ backlogEvents: 10 });
  const quota = door.quotaOf("shop");
  if (quota === undefined) throw new Error("no quota");
  quota.isBehind = true;
  const refused = await post(gate.url);
  expect(refused.json).toMatchObject({ status: 429, "violated-policies": ["backlog"] });
  quota.isBehind = false;
  expect((await post(gate.url)).status).toBe(202);
});

it("narrows the size of events and batches for one tenant", async () => {
  const { gate } = await startWith({ eventBytesMax: 100, batchEventsMax: 2 });
  const large = `{"event_type":"a","text":"${"x".repeat(200)}"}`;
  expect((await post(gate.url, large)).status).toBe(413);
  expect((await post(gate.url, large, { "x-api-key": "other-key" })).status).toBe(202);
  expect((await postLines(gate.url, 3)).json.code).toBe("batch_too_large");
});
