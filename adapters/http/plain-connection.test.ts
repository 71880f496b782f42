import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createDoor } from "../../core/qps/door.ts";
import { systemClock } from "../../observability/system-clock.ts";
import { type Gate, type GateOptions, held, startGate, TENANTS } from "../../tests/helpers/http-gate.ts";
import { type RawSocket, rawPost, rawSocket as open, statuses } from "../../tests/helpers/raw-socket.ts";
import { SimClock } from "../../tests/helpers/sim-clock.ts";

const PATIENT = { timeout: 30_000 };
const EVENT = '{"event_type":"a"}';
const event = (id: string) => `{"event_type":"a","event_id":"${id}"}`;

/** Requests that node:http read. */
let byNode = 0;
const count = () => void byNode++;
const gates: Gate[] = [];
const sockets: RawSocket[] = [];
const rawSocket = async (port: number) => {
  const socket = await open(port);
  sockets.push(socket);
  return socket;
};
const start = async (options: GateOptions = {}) => {
  const gate = await startGate({ ...options, http: { readsPlain: true, ...options.http } });
  gates.push(gate);
  return gate;
};
beforeEach(() => {
  byNode = 0;
  subscribe("http.server.request.start", count);
});
afterEach(async () => {
  unsubscribe("http.server.request.start", count);
  for (const { socket } of sockets.splice(0)) socket.destroy();
  await Promise.all(gates.splice(0).map((gate) => gate.close()));
});

/** Sends a request and gives its whole answer. */
async function ask(socket: RawSocket, request: string | Uint8Array): Promise<string> {
  const from = socket.received.length;
  socket.send(request);
  const text = await socket.until((received) => isWhole(received.slice(from)));
  return text.slice(from);
}

function isWhole(answer: string): boolean {
  const head = answer.indexOf("\r\n\r\n");
  const length = /\r\nContent-Length: (\d+)\r\n/.exec(answer)?.[1];
  return head >= 0 && length !== undefined && answer.length >= head + 4 + Number(length);
}

/** What no two answers have in common. */
function comparable(answer: string): string {
  return answer
    .replace(/\r\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n/, "\r\nDate: now\r\n")
    .replace(/"trace_id":"[0-9a-f]{32}"/g, '"trace_id":"some"')
    .replace(/"received_at":"[^"]+"/g, '"received_at":"now"')
    .replace(/"event_id":"[0-9a-f-]{36}"/g, '"event_id":"made"');
}

const TRACE = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const NDJSON = "Content-Type: application/x-ndjson";
const withType = (text: string, type: string) => text.replace("Content-Type: application/json", type);

/** One connection's requests, in order. */
const REQUESTS: ReadonlyArray<readonly [name: string, request: string | Uint8Array]> = [
  ["an event", rawPost(event("1"))],
  ["the same event", rawPost(event("1"))],
  ["another event of the same id", rawPost(event("1").replace('"a"', '"b"'))],
  ["an event with a trace", rawPost(event("2"), [TRACE])],
  ["a refused event with a trace", rawPost("{", [TRACE])],
  ["an event with a header's key", rawPost(EVENT, ['Idempotency-Key: "k 1"'])],
  ["a key that is none", rawPost(EVENT, ["Idempotency-Key: a,b"])],
  ["no key", rawPost(EVENT).replace("X-API-Key: shop-key\r\n", "")],
  ["a wrong key", rawPost(EVENT).replace("shop-key", "wrong")],
  ["a bearer's key", rawPost(event("3")).replace("X-API-Key: ", "Authorization: Bearer ")],
  ["an empty body", rawPost("")],
  ["no JSON", rawPost("{]")],
  ["an invalid event", rawPost('{"event_type":"a b","x/y":1e400}')],
  ["a problem that is not ASCII", rawPost('{"event_type":"a","payload":{},"ключ":1}')],
  ["a media type that is wrong", withType(rawPost(EVENT), "Content-Type: text/plain")],
  ["a media type of a batch", withType(rawPost(EVENT), NDJSON)],
  ["an event that is too large", rawPost(`{"event_type":"a","x":"${"y".repeat(5000)}"}`)],
  ["an array", rawPost(`[${event("4")},{},${event("4")}]`, [], "/v1/events/batch")],
  ["lines", withType(rawPost(`${event("5")}\n${event("6")}\n`, [], "/v1/events/batch"), NDJSON)],
  ["a batch that is too long", withType(rawPost(`${EVENT}\n`.repeat(51), [], "/v1/events/batch"), NDJSON)],
  ["a batch that is none", rawPost("7", [], "/v1/events/batch")],
  ["another tenant's event", rawPost(event("1")).replace("shop-key", "other-key")],
  ["another path", rawPost(EVENT, [], "/v1/nothing")],
  ["a query", rawPost(event("7"), [], "/v1/events?a=b")],
  ["another method", rawPost(EVENT).replace("POST", "PUT")],
  ["a fate", "GET /v1/events/1 HTTP/1.1\r\nHost: x\r\nX-API-Key: shop-key\r\n\r\n"],
  ["chunks", `${rawPost("", ["Transfer-Encoding: chunked"])}12\r\n${EVENT}\r\n0\r\n\r\n`],
  ["a coding", encoded(gzipSync(event("8")))],
  ["an event after all that", rawPost(event("9"))],
];

function encoded(body: Buffer): Buffer {
  const head = rawPost("", ["Content-Encoding: gzip", `Content-Length: ${body.length}`]);
  return Buffer.concat([Buffer.from(head), body]);
}

const NARROW = { limits: { eventBytesMax: 4096, batchEventsMax: 50 } };

describe("answers", () => {
  it("are the same, byte for byte, whoever reads the requests", async () => {
    const [plain, node] = [await start(NARROW), await start({ ...NARROW, http: { readsPlain: false } })];
    const [toPlain, toNode] = [await rawSocket(plain.port), await rawSocket(node.port)];
    for (const [name, request] of REQUESTS) {
      const answers = [comparable(await ask(toPlain, request)), comparable(await ask(toNode, request))];
      expect(answers[0], name).toBe(answers[1]);
      expect(answers[0], name).toMatch(/\r\nDate: now\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n/);
    }
    expect(await plain.stored()).toBe(await node.stored());
    expect(plain.answered.map(({ status, tenantId }) => [status, tenantId])).toEqual(
      node.answered.map(({ status, tenantId }) => [status, tenantId]),
    );
    expect(plain.counted).toEqual(node.counted);
    // Those from the first that is not plain on.
    const leftAt = REQUESTS.findIndex(([name]) => name === "another path");
    expect(byNode).toBe(REQUESTS.length + REQUESTS.length - leftAt);
  });

  it("are the same on connections of their own, however the request is cut", async () => {
    const gate = await start(NARROW);
    const expected = new Map<string, string>();
    for (const [name, request] of REQUESTS) {
      const cuts = [0, 1, 10, 30, 60, 90, request.length - 1];
      for (const at of cuts) {
        const socket = await rawSocket(gate.port);
        if (at > 0) {
          socket.send(request.slice(0, at));
          await new Promise(setImmediate);
        }
        const answer = comparable(await ask(socket, request.slice(at))).replace(/,"duplicate":true/g, "");
        socket.socket.destroy();
        if (!expected.has(name)) expected.set(name, answer);
        else if (!/"position"|\/events\/1|"index"/.test(answer))
          expect(answer, `${name}, cut at ${at}`).toBe(expected.get(name));
        else expect(statuses(answer), `${name}, cut at ${at}`).toEqual(statuses(expected.get(name) as string));
      }
    }
  });

  it("carry the same quota headers and refusals", async () => {
    const quota = { events: { perSecond: 1, burst: 2 }, requestsInFlight: 5 };
    const tenants = TENANTS.map((tenant) => ({ ...tenant, quota }));
    const texts: string[][] = [];
    for (const readsPlain of [true, false]) {
      const clock = new SimClock();
      const gate = await start({ quota, http: { door: createDoor({ tenants }, clock), readsPlain } });
      const socket = await rawSocket(gate.port);
      const answers: string[] = [];
      for (let i = 0; i < 4; i++)
        answers.push(comparable(await ask(socket, rawPost(EVENT))).replaceAll(/"position":"[^"]+"/g, ""));
      expect(statuses(answers.join(""))).toEqual([202, 202, 429, 429]);
      expect(answers[0]).toContain('"requests";r=4');
      texts.push(answers);
    }
    expect(texts[0]).toEqual(texts[1]);
    expect(byNode).toBe(4);
  });
});

describe("a connection", () => {
  it("stays ours for request after request", async () => {
    const gate = await start();
    const socket = await rawSocket(gate.port);
    for (let i = 0; i < 50; i++) expect(statuses(await ask(socket, rawPost(event(`${i}`))))).toEqual([202]);
    expect(byNode).toBe(0);
    expect(await gate.stored()).toBe(50);
  });

  it("that sends more while a request is under way gets its answers in order, each once", async () => {
    const { writer, release, reached } = held();
    const gate = await start({ writer });
    const socket = await rawSocket(gate.port);
    socket.send(rawPost(event("first")));
    await reached;
    // Three chunks, the second and third of which are cut within a request.
    const more = ["second", "third", "fourth"].map((id) => rawPost(event(id))).join("");
    for (const part of [more.slice(0, 100), more.slice(100, 300), more.slice(300)]) {
      socket.send(part);
      await new Promise(setImmediate);
    }
    expect(socket.received).toBe("");
    release();
    const text = await socket.until((received) => statuses(received).length === 4 && received.endsWith("}"));
    expect([...text.matchAll(/"event_id":"(\w+)"/g)].map((match) => match[1])).toEqual([
      "first",
      "second",
      "third",
      "fourth",
    ]);
    expect(byNode).toBe(3);
    expect(await gate.stored()).toBe(4);
  });

  it.each([
    ["whole", rawPost(EVENT).replace("shop-key", "wrong")],
    ["cut behind its head", rawPost("", ["Content-Length: 5"]).replace("shop-key", "wrong")],
  ])("answers no request before the one that came first: one that is refused at once, %s", async (_what, request) => {
    const { writer, release, reached } = held();
    const gate = await start({ writer });
    const socket = await rawSocket(gate.port);
    socket.send(rawPost(event("first")));
    await reached;
    socket.send(request);
    for (let i = 0; i < 3; i++) await ask(await rawSocket(gate.port), rawPost("{"));
    expect(socket.received).toBe("");
    release();
    expect(statuses(await socket.until((text) => statuses(text).length === 2))).toEqual([202, 401]);
  });

  it("keeps every byte and its place through the change of readers, at any cut of a stream of requests", async () => {
    const gate = await start();
    let seed = 7;
    const random = (below: number) => (seed = (seed * 48271) % 2147483647) % below;
    for (let round = 0; round < 40; round++) {
      const socket = await rawSocket(gate.port);
      const ids = Array.from({ length: 12 }, (_, i) => `${round}-${i}`);
      const stream = ids.map((id) => rawPost(event(id))).join("");
      for (let at = 0; at < stream.length; ) {
        const size = 1 + random(400);
        socket.send(stream.slice(at, at + size));
        at += size;
        if (random(2) === 0) await new Promise(setImmediate);
      }
      const text = await socket.until((received) => statuses(received).length === ids.length && received.endsWith("}"));
      expect([...text.matchAll(/"event_id":"([\d-]+)"/g)].map((match) => match[1])).toEqual(ids);
      socket.socket.destroy();
    }
    expect(await gate.stored()).toBe(40 * 12);
  });

  it("that a client leaves while its request is under way gives its place back", async () => {
    const { writer, release } = held();
    let appends = 0;
    const quota = { requestsInFlight: 1 };
    const tenants = TENANTS.map((tenant) => ({ ...tenant, quota }));
    const gate = await start({
      quota,
      http: { door: createDoor({ tenants }, systemClock) },
      writer: (log) => {
        const { append, probe } = writer(log);
        return { probe, append: (entries) => (appends++, append(entries)) };
      },
    });
    const gone = await rawSocket(gate.port);
    gone.send(rawPost(event("gone")));
    const other = await rawSocket(gate.port);
    const refusals = () => statuses(other.received).length;
    /** Asks again until a request is let in. */
    const letIn = async (count: number) => {
      for (;;) {
        if (appends >= count) return;
        const before = refusals();
        other.send(rawPost(EVENT));
        await expect.poll(() => appends >= count || refusals() > before, PATIENT).toBe(true);
      }
    };
    await expect.poll(() => appends, PATIENT).toBe(1);
    expect(statuses(await ask(other, rawPost(EVENT)))).toEqual([429]);
    gone.socket.resetAndDestroy();
    await letIn(2);
    release();
    expect(statuses(await other.until((text) => text.includes(" 202 ") && text.endsWith("}"))).at(-1)).toBe(202);
    expect(gate.logged).toEqual([]);
    expect(byNode).toBe(0);
    expect(await gate.stored()).toBe(2);
  });

  it("whose client ends its side gets the answer under way, and is closed", async () => {
    const { writer, release, reached } = held();
    const gate = await start({ writer });
    const socket = await rawSocket(gate.port);
    socket.send(rawPost(event("last")));
    await reached;
    socket.socket.end();
    // Its end is seen before the answer is given.
    const late = await rawSocket(gate.port);
    late.socket.end();
    expect(await late.ended()).toBe("");
    release();
    const text = await socket.ended();
    expect(statuses(text)).toEqual([202]);
    expect(text).toContain("Connection: close");
    expect(byNode).toBe(0);
  });

  it("is not read any further once it is told to close", async () => {
    const { writer, release, reached } = held();
    const gate = await start({ writer });
    const socket = await rawSocket(gate.port);
    socket.send(rawPost(event("underway")));
    await reached;
    const drained = gate.http.drain(10_000);
    socket.send(rawPost(event("late")));
    release();
    expect(statuses(await socket.ended())).toEqual([202]);
    await drained;
    expect(await gate.stored()).toBe(1);
  });

  it("of a client that takes no answers is not read any further", async () => {
    const gate = await start();
    const socket = await rawSocket(gate.port);
    socket.socket.pause();
    // Its answer is a hundred times as large: it fills all buffers between, soon.
    const batch = withType(rawPost("{}\n".repeat(1000), [], "/v1/events/batch"), NDJSON);
    let sent = 0;
    const answered = () => gate.answered.length;
    while (answered() === sent) {
      if (sent === 1000) throw new Error("it is read on and on");
      socket.send(batch);
      sent++;
      // A turn of the loop for each end, and some more: what is not read by then waits for the client.
      for (let turn = 0; turn < 50 && answered() < sent; turn++) await new Promise(setImmediate);
    }
    for (let i = 0; i < 20; i++) socket.send(batch);
    sent += 20;
    await ask(await rawSocket(gate.port), rawPost(EVENT));
    expect(answered()).toBeLessThan(sent - 10);
    socket.socket.resume();
    await expect.poll(() => statuses(socket.received).length, PATIENT).toBe(sent);
    expect(gate.answered.filter(({ status }) => status === 207)).toHaveLength(sent);
  });
});

describe("deadlines", () => {
  it("of a connection that rests are those of node:http", async () => {
    const clock = new SimClock();
    const gate = await start({ http: { clock }, limits: { keepAliveTimeoutMs: 3000, headerTimeoutMs: 2000 } });
    const used = await rawSocket(gate.port);
    const text = await ask(used, rawPost(EVENT));
    expect(text).toContain("Keep-Alive: timeout=3");
    const silent = await rawSocket(gate.port);
    await rawSocket(gate.port).then((last) => ask(last, rawPost(EVENT)));
    await clock.advance(1500);
    expect([used.closed, silent.closed]).toEqual([false, false]);
    await clock.advance(1000);
    expect(statuses(await silent.ended())).toEqual([408]);
    await clock.advance(1000);
    expect(used.closed).toBe(false);
    expect(statuses(await ask(used, rawPost(EVENT)))).toEqual([202]);
    await clock.advance(3500);
    expect(used.closed).toBe(false);
    await clock.advance(1000);
    await used.ended();
    expect(byNode).toBe(0);
  });

  it("do not run while a request is under way", async () => {
    const clock = new SimClock();
    const { writer, release, reached } = held();
    const gate = await start({ writer, http: { clock }, limits: { keepAliveTimeoutMs: 1000, headerTimeoutMs: 1000 } });
    const socket = await rawSocket(gate.port);
    socket.send(rawPost(EVENT));
    await reached;
    await clock.advance(60_000);
    release();
    expect(statuses(await socket.until(isWhole))).toEqual([202]);
    await clock.advance(1500);
    expect(statuses(await ask(socket, rawPost(EVENT)))).toEqual([202]);
  });
});
