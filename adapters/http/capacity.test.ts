import { afterEach, expect, it } from "vitest";
import { Capacity } from "../../core/qps/capacity.ts";
import { systemClock } from "../../observability/system-clock.ts";
import { call, type Gate, startGate } from "../../tests/helpers/http-gate.ts";
import { rawPost, rawSocket } from "../../tests/helpers/raw-socket.ts";

const EVENT = '{"event_type":"a"}';
/** Room for ten small events. */
const COST_MAX = 10 * 1024;

let gate: Gate;
afterEach(() => gate.close());

/** A gate whose log answers nothing until it is released. */
async function startHeld() {
  const held = Promise.withResolvers<void>();
  const capacity = new Capacity({ clock: systemClock, costMax: COST_MAX });
  let appends = 0;
  gate = await startGate({
    http: { capacity },
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
