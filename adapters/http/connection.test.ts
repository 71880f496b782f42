import { Capacity } from "../../core/qps/capacity.ts";
import { systemClock } from "../../observability/system-clock.ts";
import { once } from "node:events";
import { connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { call, type Gate, type GateOptions, held, LIMITS, startGate } from "../../tests/helpers/http-gate.ts";
import { type RawSocket, rawPost, rawSocket, statuses } from "../../tests/helpers/raw-socket.ts";
import { SimClock } from "../../tests/helpers/sim-clock.ts";

let gate: Gate;
const start = async (options: GateOptions = {}) => {
  gate = await startGate(options);
};
afterEach(() => gate.close());

const EVENT = '{"event_type":"a"}';
const event = (id: string) => `{"event_type":"a","event_id":"${id}"}`;

describe("bodies", () => {
  it("are taken in any cut, chunked or with a length", async () => {
    await start();
    const socket = await rawSocket(gate.port);
    const chunked = rawPost("", ["Transfer-Encoding: chunked"]) + '5\r\n{"eve\r\nd;x=y\r\nnt_type":"a"}\r\n0\r\n\r\n';
    for (const byte of chunked) {
      socket.send(byte);
      await new Promise(setImmediate);
    }
    await socket.until((text) => statuses(text).length === 1);
    socket.send(rawPost(EVENT));
    expect(statuses(await socket.until((text) => statuses(text).length === 2))).toEqual([202, 202]);
    socket.socket.destroy();
  });

  it("larger than their declared limit are refused before they are read", async () => {
    await start();
    const socket = await rawSocket(gate.port);
    socket.send(rawPost("", [`Content-Length: ${LIMITS.eventBytesMax + 1}`]));
    const text = await socket.until((received) => received.includes("body_too_large"));
    expect(statuses(text)).toEqual([413]);
    expect(text.toLowerCase()).toContain("connection: close");
    socket.socket.destroy();
  });

  it("without a declared length are refused once they pass the limit, and the client can read why", async () => {
    await start({ limits: { eventBytesMax: 10_000 } });
    const socket = await rawSocket(gate.port);
    socket.send(rawPost("", ["Transfer-Encoding: chunked"]));
    for (let i = 0; i < 40; i++) socket.send(`400\r\n${"x".repeat(1024)}\r\n`);
    await socket.until((received) => received.includes("body_too_large"));
    socket.send("0\r\n\r\n");
    expect(statuses(await socket.ended())).toEqual([413]);
  });

  it("of refused requests are not read without end", async () => {
    await start();
    const socket = await rawSocket(gate.port);
    socket.send(rawPost("", ["Content-Length: 100000000"]).replace("shop-key", "wrong"));
    await socket.until((received) => statuses(received)[0] === 401);
    const chunk = Buffer.alloc(256 * 1024);
    while (!socket.closed) {
      if (socket.socket.writableLength === 0) socket.send(chunk);
      await new Promise(setImmediate);
    }
    expect(socket.socket.bytesWritten).toBeLessThan(50_000_000);
  });

  it("of small refused requests are skipped, and the connection goes on", async () => {
    await start();
    const socket = await rawSocket(gate.port);
    socket.send(rawPost(EVENT).replace("shop-key", "wrong") + rawPost(EVENT));
    expect(statuses(await socket.until((text) => statuses(text).length === 2))).toEqual([401, 202]);
    socket.socket.destroy();
  });

  it("are asked for with 100 Continue only when the head is right", async () => {
    await start();
    const expecting = ["Expect: 100-continue", `Content-Length: ${EVENT.length}`];
    const socket = await rawSocket(gate.port);
    socket.send(rawPost("", expecting));
    expect(statuses(await socket.until((text) => text.includes("\r\n\r\n")))).toEqual([100]);
    socket.send(EVENT);
    expect(statuses(await socket.until((text) => statuses(text).length === 2))).toEqual([100, 202]);
    const refused = await rawSocket(gate.port);
    refused.send(rawPost("", expecting).replace("shop-key", "wrong"));
    expect(statuses(await refused.until((text) => text.includes("}")))).toEqual([401]);
    socket.socket.destroy();
    refused.socket.destroy();
  });

  it("beyond the memory for bodies on their way are answered 503, and others go on after", async () => {
    await start({ http: { capacity: new Capacity({ clock: systemClock, costMax: 300_000 }) } });
    const slow = await rawSocket(gate.port);
    slow.send(rawPost("", ["Content-Length: 400000"]));
    for (let i = 0; i < 60 && statuses(slow.received).length === 0; i++) {
      slow.send("x".repeat(6_000));
      await new Promise(setImmediate);
    }
    const text = await slow.until((received) => received.includes("overloaded"));
    expect(statuses(text)).toEqual([503]);
    expect(text).toMatch(/Retry-After: \d+/);
    slow.socket.destroy();
    const body = JSON.stringify({ event_type: "a", x: "y".repeat(250_000) });
    for (let i = 0; i < 3; i++) expect((await call(`${gate.url}/v1/events`, { body })).status).toBe(202);
  });
});

describe("deadlines", () => {
  it.each([
    ["a head that never ends", "POST /v1/events HTTP/1.1\r\nHost: x\r\nX-Slow: "],
    ["a connection that says nothing", ""],
  ])("answer 408 to %s", async (_what, text) => {
    await start({ limits: { headerTimeoutMs: 300 } });
    const socket = await rawSocket(gate.port);
    socket.send(text);
    const received = await socket.ended();
    expect(statuses(received)).toEqual([408]);
    expect(received).toContain('"code":"request_timeout"');
    expect(received).toContain('"retryable":true');
  });

  it("answer 408 to a body that never ends, and count it for its tenant", async () => {
    await start({ limits: { headerTimeoutMs: 200, bodyTimeoutMs: 200 } });
    const socket = await rawSocket(gate.port);
    socket.send(rawPost("", ["Content-Length: 100"])).send('{"event');
    expect(statuses(await socket.ended())).toEqual([408]);
    expect(gate.answered).toMatchObject([{ status: 408, tenantId: "shop" }]);
    expect(await gate.stored()).toBe(0);
  });

  it("do not run while the log is slow", async () => {
    const { writer, release, reached } = held();
    await start({ writer, limits: { headerTimeoutMs: 100, bodyTimeoutMs: 100, keepAliveTimeoutMs: 100 } });
    const socket = await rawSocket(gate.port);
    socket.send(rawPost(EVENT));
    await reached;
    const idle = await rawSocket(gate.port);
    await idle.ended();
    release();
    expect(statuses(await socket.ended())).toEqual([202]);
  });

  it("answer 408 to a body that trickles in, while one that is fast enough goes on", async () => {
    const clock = new SimClock();
    const capacity = new Capacity({ clock, costMax: 1 << 20 });
    await start({ http: { clock, capacity }, limits: { bodyBytesPerSecondMin: 1024 } });
    const [slow, steady, waiting] = await Promise.all([1, 2, 3].map(() => rawSocket(gate.port)));
    const rest = (size: number) => "x".repeat(size);
    const text = `{"event_type":"a","x":"${rest(20_000)}"}`;
    for (const socket of [slow, steady]) socket!.send(rawPost("", [`Content-Length: ${text.length}`]));
    waiting!.send(rawPost(EVENT));
    expect(statuses(await waiting!.until((received) => received.endsWith("}")))).toEqual([202]);
    slow!.send(text.slice(0, 2000));
    steady!.send(text.slice(0, 10_000));
    const late = await rawSocket(gate.port);
    late.send(rawPost("", [`Content-Length: ${text.length}`])).send(text.slice(0, 10));
    await expect.poll(() => capacity.cost).toBe(12_010);
    await clock.advance(4_000);
    late.send(text.slice(10));
    expect(statuses(await late.until((received) => received.endsWith("}")))).toEqual([202]);
    await clock.advance(3_000);
    expect(statuses(await slow!.ended())).toEqual([408]);
    expect(slow!.received).toContain("less than 1024 bytes per second");
    steady!.send(text.slice(10_000));
    expect(statuses(await steady!.until((received) => received.endsWith("}")))).toEqual([202]);
  });

  it("end an idle connection", async () => {
    await start({ limits: { keepAliveTimeoutMs: 50 } });
    const socket = await rawSocket(gate.port);
    socket.send(rawPost(EVENT));
    expect(statuses(await socket.ended())).toEqual([202]);
  });

  it("free the port of five thousand slow clients while others are served", async () => {
    const count = 5_000;
    checkDescriptors(2 * count + 500);
    await start({ limits: { headerTimeoutMs: 4_000, connectionsMax: count + 100 } });
    const slow: RawSocket[] = [];
    // No more at a time than the port's backlog holds.
    while (slow.length < count)
      slow.push(...(await Promise.all(Array.from({ length: 500 }, () => rawSocket(gate.port)))));
    for (const socket of slow) socket.send("POST /v1/events HTTP/1.1\r\n");
    for (let i = 0; i < 20; i++) expect((await call(`${gate.url}/v1/events`, { body: EVENT })).status).toBe(202);
    for (const text of await Promise.all(slow.map((socket) => socket.ended()))) expect(statuses(text)).toEqual([408]);
  });
});

/** Node.js has raised its soft limit to the hard one already; both ends of each connection are in this process. */
function checkDescriptors(needed: number): void {
  const report = process.report.getReport() as { userLimits: { open_files: { soft: number | "unlimited" } } };
  const { soft } = report.userLimits.open_files;
  if (soft !== "unlimited" && soft < needed)
    throw new Error(
      `this test needs ${needed} file descriptors and may open ${soft}: raise the hard limit (ulimit -Hn)`,
    );
}

describe("broken HTTP", () => {
  it.each([
    ["no HTTP at all", "hello\r\n\r\n"],
    ["TLS on the plain port", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
    ["a wrong method", "P OST /v1/events HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["two lengths", rawPost(EVENT, ["Content-Length: 18", "Content-Length: 19"])],
    ["a length and chunks", rawPost(EVENT, ["Content-Length: 18", "Transfer-Encoding: chunked"])],
    ["a negative length", rawPost(EVENT, ["Content-Length: -1"])],
    ["a header with a bare NUL", rawPost(EVENT, ["X-Bad: a\0b"])],
    ["a header folded over two lines", rawPost(EVENT, ["X-Bad: a\r\n b"])],
  ])("is answered 400: %s", async (_what, text) => {
    await start();
    const socket = await rawSocket(gate.port);
    socket.send(Buffer.from(text, "latin1"));
    const received = await socket.ended();
    expect(statuses(received)).toEqual([400]);
    expect(received).toContain('"code":"malformed_request"');
    expect(await gate.stored()).toBe(0);
  });

  it("in the middle of a chunked body is answered 400 and ends the connection at once", {
    timeout: 10_000,
  }, async () => {
    await start({ limits: { bodyTimeoutMs: 3_600_000 } });
    const socket = await rawSocket(gate.port);
    socket.send(`${rawPost("", ["Transfer-Encoding: chunked"])}5\r\n{"eve\r\n`);
    socket.send("zz\r\n");
    const received = await socket.ended();
    expect(statuses(received)).toEqual([400]);
    expect(gate.answered).toMatchObject([{ status: 400, tenantId: "shop" }]);
  });

  it("behind a request that waits for the log leaves that one its own answer", async () => {
    const { writer, release, reached } = held();
    await start({ writer });
    const socket = await rawSocket(gate.port);
    socket.send(rawPost(event("first")) + "garbage\r\n\r\n");
    await reached;
    release();
    const received = await socket.ended();
    expect(statuses(received)).toEqual([202]);
    expect(received).toContain('"event_id":"first"');
    expect(received.toLowerCase()).toContain("connection: close");
  });

  it("with headers beyond 16 KiB is answered 431", async () => {
    await start();
    const socket = await rawSocket(gate.port);
    socket.send(rawPost(EVENT, [`X-Big: ${"x".repeat(20_000)}`]));
    const received = await socket.ended();
    expect(statuses(received)).toEqual([431]);
    expect(received).toContain('"code":"headers_too_large"');
  });
});

describe("connections", () => {
  it("get the answers of pipelined requests in their order", async () => {
    await start();
    const socket = await rawSocket(gate.port);
    const ids = Array.from({ length: 50 }, (_, i) => `p-${i}`);
    socket.send(ids.map((id) => rawPost(event(id))).join(""));
    const received = await socket.until((text) => statuses(text).length === 50 && text.endsWith("}"));
    expect([...received.matchAll(/"event_id":"(p-\d+)"/g)].map((match) => match[1])).toEqual(ids);
    socket.socket.destroy();
  });

  it("beyond the cap are dropped, and free places are given again", async () => {
    await start({ limits: { connectionsMax: 2 } });
    const first = await rawSocket(gate.port);
    const second = await rawSocket(gate.port);
    const third = await rawSocket(gate.port);
    expect(await third.ended()).toBe("");
    expect(gate.backpressure).toEqual([[undefined, "connections"]]);
    first.socket.destroy();
    second.send(rawPost(EVENT, ["Connection: close"]));
    expect(statuses(await second.ended())).toEqual([202]);
    expect((await call(`${gate.url}/v1/events`, { body: EVENT })).status).toBe(202);
  });

  it("from one address beyond its cap are dropped, others' are not", async () => {
    await start({ limits: { connectionsPerAddressMax: 2 } });
    const kept = [await rawSocket(gate.port), await rawSocket(gate.port)];
    const third = await rawSocket(gate.port);
    expect(await third.ended()).toBe("");
    expect(gate.backpressure).toEqual([[undefined, "connections_per_address"]]);
    const elsewhere = await rawSocket(gate.port, "127.0.0.2");
    elsewhere.send(rawPost(EVENT));
    expect(statuses(await elsewhere.until((text) => text.endsWith("}")))).toEqual([202]);
    kept[0]!.socket.destroy();
    await expect
      .poll(async () => {
        const again = await rawSocket(gate.port);
        again.send(rawPost(EVENT, ["Connection: close"]));
        return statuses(await again.ended());
      })
      .toEqual([202]);
    kept[1]!.socket.destroy();
    elsewhere.socket.destroy();
  });

  it("are counted anew for an address that has left", async () => {
    await start({ limits: { connectionsPerAddressMax: 1 } });
    for (let i = 0; i < 3; i++) {
      await expect
        .poll(async () => {
          const socket = await rawSocket(gate.port);
          socket.send(rawPost(EVENT, ["Connection: close"]));
          return statuses(await socket.ended());
        })
        .toEqual([202]);
    }
  });

  it("that break in the middle of a body store nothing and log nothing", async () => {
    await start();
    for (const destroy of ["end", "resetAndDestroy"] as const) {
      const socket = await rawSocket(gate.port);
      socket.send(rawPost("", ["Content-Length: 100"])).send('{"event_type":');
      await new Promise(setImmediate);
      socket.socket[destroy]();
      await socket.ended();
    }
    expect((await call(`${gate.url}/v1/events`, { body: EVENT })).status).toBe(202);
    expect(await gate.stored()).toBe(1);
    expect(gate.logged).toEqual([]);
  });

  it("that break while the log works leave the event stored and log nothing", async () => {
    const { writer, release, reached } = held();
    await start({ writer });
    const socket = await rawSocket(gate.port);
    socket.send(rawPost(event("left")));
    await reached;
    socket.socket.resetAndDestroy();
    await socket.ended();
    release();
    expect((await call(`${gate.url}/v1/events`, { body: event("left") })).json).toMatchObject({
      event_id: "left",
      duplicate: true,
    });
    expect(gate.logged).toEqual([]);
  });

  it("of HTTP/1.0 are answered and closed", async () => {
    await start();
    const socket = await rawSocket(gate.port);
    socket.send(rawPost(EVENT).replace("HTTP/1.1", "HTTP/1.0"));
    expect(statuses(await socket.ended())).toEqual([202]);
  });

  it("that half-close after their request still get the answer", async () => {
    const { writer, release, reached } = held();
    await start({ writer });
    const socket = connect({ port: gate.port, host: "127.0.0.1", allowHalfOpen: true });
    socket.end(rawPost(EVENT));
    await reached;
    release();
    const [chunk] = (await once(socket, "data")) as [Buffer];
    expect(statuses(chunk.toString("latin1"))).toEqual([202]);
    socket.destroy();
  });
});

it("rejects when the port is taken", async () => {
  await start();
  await expect(startGate({ http: { port: gate.port } })).rejects.toMatchObject({ code: "EADDRINUSE" });
});
