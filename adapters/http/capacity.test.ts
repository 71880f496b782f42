import { afterEach, expect, it } from "vitest";
import type { Clock } from "../../core/environment.ts";
import { Capacity } from "../../core/qps/capacity.ts";
import { systemClock } from "../../observability/system-clock.ts";
import { call, type Gate, type GateOptions, startGate } from "../../tests/helpers/http-gate.ts";
import { rawPost, rawSocket, statuses } from "../../tests/helpers/raw-socket.ts";

const EVENT = '{"event_type":"a"}';
/** Room for ten small events. */
const COST_MAX = 10 * 1024;

let gate: Gate;
afterEach(() => gate.close());

/** A gate whose log answers nothing until it is released. */
async function startHeld({ quota, clock = systemClock }: Pick<GateOptions, "quota"> & { clock?: Clock } = {}) {
  const held = Promise.withResolvers<void>();
  const capacity = new Capacity({ clock: systemClock, costMax: COST_MAX });
  let appends = 0;
  gate = await startGate({
    http: { capacity, clock },
    quota,
    writer: (log) => ({
      probe: () => log.probe(),
      append: async (entries) => {
        appends += 1;
        await held.promise;
        return log.append(entries);
      },
    }),
  });
  const post = (key = "shop-key") => call(`${gate.url}/v1/events`, { body: EVENT, headers: { "x-api-key": key } });
  const underWay = (count: number) => expect.poll(() => appends).toBe(count);
  return { capacity, post, underWay, release: () => held.resolve() };
}

it("a full door sheds the tenant that fills it, with 503 before its body is read, and lets others in", async () => {
  const { capacity, post, underWay, release } = await startHeld();
  const filling = Array.from({ length: 10 }, () => post());
  await underWay(10);
  const client = await rawSocket(gate.port);
  client.send(rawPost("", ["Content-Length: 100"]));
  const refused = await client.until((text) => text.includes("}"));
  expect(refused).toMatch(/^HTTP\/1\.1 503 /);
  expect(refused).toMatch(/Retry-After: 1\r\n/);
  expect(refused).toContain('"code":"overloaded"');
  expect(gate.backpressure).toEqual([["shop", "overloaded"]]);
  // The connection goes on: its body is skipped, and what comes behind it is answered.
  client.send("x".repeat(100) + rawPost("", [], "/v1/nowhere"));
  expect(statuses(await client.until((text) => text.includes("404 ")))).toEqual([503, 404]);
  client.socket.destroy();
  const others = Array.from({ length: 4 }, () => post("other-key"));
  await underWay(14);
  release();
  for (const { status } of await Promise.all([...filling, ...others])) expect(status).toBe(202);
  expect((await post()).status).toBe(202);
  expect(capacity.cost).toBe(0);
});

it("what is under way is given back, however a request ends", async () => {
  const { capacity, post, release } = await startHeld();
  release();
  await post("wrong-key");
  await call(`${gate.url}/v1/events`, { body: "{" });
  await call(`${gate.url}/v1/events/batch`, { body: `[${EVENT},{}]` });
  await call(`${gate.url}/v1/events`, { body: "not gzip", headers: { "content-encoding": "gzip" } });
  const gone = await rawSocket(gate.port);
  gone.send(rawPost("", ["Content-Length: 5000"]));
  gone.send("x".repeat(500));
  await expect
    .poll(() => {
      gone.send("x".repeat(10));
      return capacity.cost;
    })
    .toBeGreaterThan(0);
  gone.socket.resetAndDestroy();
  await expect.poll(() => capacity.cost).toBe(0);
});

/** More than the kernel takes in for a connection that nobody reads. */
const LARGE = Buffer.alloc(24 * 1024 * 1024, "x");

it("reads nothing of a request that it sheds before it answers", async () => {
  const { post, underWay, release } = await startHeld();
  const filling = Array.from({ length: 10 }, () => post());
  await underWay(10);
  const client = await rawSocket(gate.port);
  client.send(rawPost("", [`Content-Length: ${LARGE.length}`]));
  client.send(LARGE);
  await client.until((text) => text.includes(" 503 "));
  expect(client.socket.writableLength).toBeGreaterThan(0);
  client.socket.destroy();
  release();
  await Promise.all(filling);
});

it("answers a refusal by quota in its turn, too, while it is at capacity", async () => {
  const { post, underWay, release } = await startHeld({ quota: { requestsInFlight: 10 } });
  const filling = Array.from({ length: 10 }, () => post());
  await underWay(10);
  const shed = await post();
  expect([shed.status, shed.headers["retry-after"]]).toEqual([429, "1"]);
  expect(gate.answered[0]?.latencyMs).toBeGreaterThanOrEqual(100);
  release();
  await Promise.all(filling);
});

it("answers those that wait for their refusal when it goes down, before their time", async () => {
  const never = new Promise<void>(() => {});
  const sleep: Clock["sleep"] = (ms, signal) => (signal === undefined ? never : systemClock.sleep(ms, signal));
  const { post, underWay, release } = await startHeld({ clock: { ...systemClock, sleep } });
  const filling = Array.from({ length: 10 }, () => post());
  await underWay(10);
  const client = await rawSocket(gate.port);
  client.send(rawPost(EVENT));
  const other = post("other-key");
  await underWay(11);
  const drained = gate.http.drain(10_000);
  expect(await client.ended()).toMatch(/ 503 [^]*\r\nConnection: close\r\n/);
  release();
  for (const { status } of await Promise.all([...filling, other])) expect(status).toBe(202);
  await drained;
});
