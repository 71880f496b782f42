import { expect, it } from "vitest";
import { held, startGate } from "../../tests/helpers/http-gate.ts";
import { type RawSocket, rawPost, rawSocket, statuses } from "../../tests/helpers/raw-socket.ts";

const event = (id: string) => `{"event_type":"a","event_id":"${id}"}`;

it("a drain answers what is under way, closes what is idle and takes no new connection", async () => {
  const { writer, release, reached } = held();
  const gate = await startGate({ writer });
  const idle = await rawSocket(gate.port);
  const busy = await rawSocket(gate.port);
  busy.send(rawPost(event("busy")));
  await reached;
  const drained = gate.http.drain(10_000);
  await expect(rawSocket(gate.port)).rejects.toMatchObject({ code: "ECONNREFUSED" });
  expect(await idle.ended()).toBe("");
  release();
  const received = await busy.ended();
  expect(statuses(received)).toEqual([202]);
  expect(received).toContain("Connection: close");
  await drained;
  expect(await gate.stored()).toBe(1);
});

it("a request on a kept-alive connection is still answered while a drain begins, and told to close", async () => {
  const gate = await startGate();
  const socket = await rawSocket(gate.port);
  socket.send(rawPost(event("before")));
  const before = await socket.until((text) => text.endsWith("}"));
  expect(before).toContain("Connection: keep-alive");
  const drained = gate.http.drain(10_000);
  socket.send(rawPost(event("during")));
  const received = await socket.ended();
  expect(statuses(received)).toEqual([202, 202]);
  expect(received.slice(before.length)).toContain("Connection: close");
  await drained;
});

it("a drain cuts what is not done by its deadline", async () => {
  const { writer, release, reached } = held();
  const gate = await startGate({ writer });
  const busy = await rawSocket(gate.port);
  busy.send(rawPost(event("late")));
  await reached;
  const started = performance.now();
  await gate.http.drain(400);
  expect(performance.now() - started).toBeLessThan(5000);
  expect(await busy.ended()).toBe("");
  release();
});

it("a drain waits for bodies that are still coming", async () => {
  const gate = await startGate();
  const body = event("slow");
  const socket = await rawSocket(gate.port);
  socket.send(rawPost("", [`Content-Length: ${body.length}`])).send(body.slice(0, 5));
  const other = await rawSocket(gate.port);
  other.send(rawPost(event("other")));
  await other.until((text) => text.endsWith("}"));
  const drained = gate.http.drain(10_000);
  await other.ended();
  socket.send(body.slice(5));
  expect(statuses(await socket.ended())).toEqual([202]);
  await drained;
});

it("a drain under load loses no acknowledged event and answers none wrongly", async () => {
  for (let round = 0; round < 5; round++) {
    const gate = await startGate();
    const acknowledged: string[] = [];
    const seen: number[] = [];
    const client = async (name: number) => {
      const socket = await rawSocket(gate.port);
      for (let i = 0; !socket.closed; i++) await post(socket, `${name}-${i}`);
    };
    const post = async (socket: RawSocket, id: string) => {
      const from = socket.received.length;
      socket.send(rawPost(event(id)));
      await socket.until((text) => text.length > from && text.endsWith("}")).catch(() => {});
      const answer = socket.received.slice(from);
      seen.push(...statuses(answer));
      if (statuses(answer)[0] === 202 && answer.endsWith("}")) acknowledged.push(id);
    };
    const clients = Array.from({ length: 20 }, (_, name) => client(name));
    while (acknowledged.length < 500) await new Promise(setImmediate);
    await gate.http.drain(10_000);
    await Promise.all(clients);
    expect(new Set(seen)).toEqual(new Set([202]));
    for (const id of acknowledged) expect(await gate.log.find("shop", id), id).toBeDefined();
    // Connections end after an answer, not in place of one: nothing was stored that was not acknowledged.
    expect(await gate.stored()).toBe(acknowledged.length);
  }
});
