import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Duplex } from "node:stream";
import fc from "fast-check";
import { expect, it } from "vitest";
import { rawPost } from "../../tests/helpers/raw-socket.ts";
import { plainRequest } from "./plain-request.ts";

const EVENT = '{"event_type":"a"}';
const bytes = (text: string) => Buffer.from(text, "latin1");
const FIELDS = [
  "authorization",
  "content-length",
  "content-type",
  "idempotency-key",
  "traceparent",
  "x-api-key",
] as const;

it.each([
  ["an event", rawPost(EVENT)],
  ["a batch", rawPost(EVENT, [], "/v1/events/batch")],
  ["an empty body", rawPost("")],
  ["names in any case", rawPost(EVENT).replace("Content-Length", "cONTENT-lENGTH").replace("Host", "HOST")],
  ["a connection that is kept", rawPost(EVENT, ["Connection: Keep-Alive"])],
  ["space around values", rawPost(EVENT, ["traceparent: \t x y\t "])],
  ["no space in front of values", rawPost(EVENT).replaceAll(": ", ":")],
  [
    "headers that mean nothing, twice",
    rawPost(EVENT, ["X-A: 1", "X-A: 2", "User-Agent: k6", "Accept: */*", "Cookie: a"]),
  ],
  ["an empty value", rawPost(EVENT, ["X-Empty:", "X-Empty: "])],
])("a whole plain request is taken: %s", (_what, text) => {
  const request = plainRequest(bytes(text));
  expect(request).toMatchObject({ method: "POST", complete: true });
  expect(request?.url).toBe(/^POST (\S+)/.exec(text)?.[1]);
  expect(request?.headers["x-api-key"]).toBe("shop-key");
  expect(request?.headers["content-type"]).toBe("application/json");
  expect(request?.body.toString()).toBe(text.slice(text.indexOf("\r\n\r\n") + 4));
});

const LENGTH = `Content-Length: ${EVENT.length}`;

it.each([
  ["another method", rawPost(EVENT).replace("POST", "PUT")],
  ["a method in small letters", rawPost(EVENT).replace("POST", "post")],
  ["another path", rawPost(EVENT, [], "/v1/events/")],
  ["a query", rawPost(EVENT, [], "/v1/events?a")],
  ["the absolute form", rawPost(EVENT, [], "http://x/v1/events")],
  ["HTTP/1.0", rawPost(EVENT).replace("HTTP/1.1", "HTTP/1.0")],
  ["two spaces", rawPost(EVENT).replace(" HTTP", "  HTTP")],
  ["a blank line in front", `\r\n${rawPost(EVENT)}`],
  ["bare line feeds", rawPost(EVENT).replaceAll("\r\n", "\n")],
  ["one bare line feed", rawPost(EVENT).replace("Host: x\r\n", "Host: x\n")],
  ["a bare carriage return", rawPost(EVENT, ["X-A: b\rc"])],
  ["a NUL", rawPost(EVENT, ["X-A: b\0c"])],
  ["a byte beyond ASCII", rawPost(EVENT, ["X-A: \xe9"])],
  ["a folded header", rawPost(EVENT, ["X-A: b\r\n c"])],
  ["a space before the colon", rawPost(EVENT, ["X-A : b"])],
  ["a header without a name", rawPost(EVENT, [": b"])],
  ["a header without a colon", rawPost(EVENT, ["X-A"])],
  ["no host", rawPost(EVENT).replace("Host: x\r\n", "")],
  ["an empty host", rawPost(EVENT).replace("Host: x", "Host: ")],
  ["two hosts", rawPost(EVENT, ["Host: y"])],
  ["two lengths", rawPost(EVENT, [LENGTH, LENGTH])],
  ["no length", rawPost(EVENT, [LENGTH]).replace(`${LENGTH}\r\n`, "")],
  ["a length with a sign", rawPost(EVENT, [LENGTH.replace("18", "+18")])],
  ["a length in hex", rawPost(EVENT, [LENGTH.replace("18", "0x12")])],
  ["a length with a zero in front", rawPost(EVENT, [LENGTH.replace("18", "018")])],
  ["a list of lengths", rawPost(EVENT, [LENGTH.replace("18", "18, 18")])],
  ["a length of nothing", rawPost("", ["Content-Length: "])],
  ["a length that is too large to count", rawPost(EVENT, [`Content-Length: ${2 ** 64 + 18}`])],
  ["more than the length", rawPost(`${EVENT} `, [LENGTH])],
  ["two requests", rawPost(EVENT).repeat(2)],
  ["two keys", rawPost(EVENT, ["X-API-Key: other-key"])],
  ["two media types", rawPost(EVENT, ["Content-Type: text/plain"])],
  ["two idempotency keys", rawPost(EVENT, ["Idempotency-Key: a", "Idempotency-Key: b"])],
  ["a coding", rawPost(EVENT, ["Content-Encoding: identity"])],
  ["chunks", rawPost(EVENT, ["Transfer-Encoding: chunked"])],
  ["chunks and a length", rawPost(EVENT, [LENGTH, "transfer-encoding: chunked"])],
  ["an expectation", rawPost(EVENT, [LENGTH, "Expect: 100-continue"])],
  ["an upgrade", rawPost(EVENT, ["Connection: Upgrade", "Upgrade: h2c"])],
  ["an upgrade that is not meant", rawPost(EVENT, ["Upgrade: h2c"])],
  ["trailers", rawPost(EVENT, ["Trailer: X-A"])],
  ["codings for the answer's transfer", rawPost(EVENT, ["TE: trailers"])],
  ["a connection that is to be closed", rawPost(EVENT, ["Connection: close"])],
  ["an old proxy's connection", rawPost(EVENT, ["Proxy-Connection: close"])],
  ["a list of connection options", rawPost(EVENT, ["Connection: keep-alive, close"])],
  ["a head of more than 8 KiB", rawPost(EVENT, [`X-Big: ${"x".repeat(8192)}`])],
  [
    "more than 64 headers",
    rawPost(
      EVENT,
      Array.from({ length: 65 }, (_, i) => `X-${i}: y`),
    ),
  ],
])("what is not plain is left to node:http: %s", (_what, text) => {
  expect(plainRequest(bytes(text))).toBeUndefined();
});

it("a request that is not whole is left to node:http, wherever it is cut", () => {
  const whole = bytes(rawPost(EVENT));
  for (let length = 0; length < whole.length; length++) expect(plainRequest(whole.subarray(0, length))).toBeUndefined();
  expect(plainRequest(whole)).toBeDefined();
});

/** All that node:http finds in a text. */
type Seen = "error" | { method: string; url: string; headers: Record<string, unknown>; body: string; keeps: boolean };

const SENTINEL = bytes("GET /sentinel HTTP/1.1\r\nHost: s\r\n\r\n");

/** What node:http finds in the bytes and in a further request behind them. */
async function readByNode(chunk: Buffer): Promise<Seen[]> {
  const seen: Seen[] = [];
  const server = createServer({ maxHeaderSize: 16 * 1024 }, (request: IncomingMessage, response: ServerResponse) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      const { method = "", url = "" } = request;
      const headers = Object.fromEntries(FIELDS.map((name) => [name, request.headers[name]]));
      const body = Buffer.concat(parts).toString("latin1");
      seen.push({ method, url, headers, body, keeps: response.shouldKeepAlive });
      response.end();
    });
  });
  server.on("clientError", (_error, socket) => {
    seen.push("error");
    socket.destroy();
  });
  for (const event of ["checkContinue", "checkExpectation", "upgrade"]) server.on(event, () => seen.push("error"));
  const socket = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  server.emit("connection", socket);
  socket.push(chunk);
  socket.push(SENTINEL);
  for (let turn = 0; turn < 4; turn++) await new Promise(setImmediate);
  socket.destroy();
  return seen;
}

const oneOf = <T>(...values: T[]) => fc.constantFrom(...values);
/** Mostly the first. */
const mostly = <T>(usual: T, ...others: T[]) =>
  fc.oneof({ weight: 9, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: oneOf(usual, ...others) });

const header = fc
  .tuple(
    oneOf(
      ...["X-API-Key", "x-api-key", "Authorization", "Content-Type", "Idempotency-Key", "traceparent", "TraceParent"],
      ...["X-Other", "Accept", "Cookie", "Content-Length", "Connection", "Host", "Expect", "TE", "Keep-Alive"],
      ...["Transfer-Encoding", "Content-Encoding", "Proxy-Connection", "Upgrade", "Trailer", "X_\u007c~", "a"],
    ),
    mostly(": ", ":", ":\t", ":  ", " : ", ": \t ", "", "::"),
    mostly(
      "keep-alive",
      "close",
      "a, b",
      "18",
      "0",
      "chunked",
      "",
      '"',
      "a b\tc",
      "\xe9",
      "\0",
      "x".repeat(300),
      "\x7f",
    ),
    mostly("", " ", "\t", " \t "),
    mostly("\r\n", "\n", "\r", "\r\n ", "\r\r\n", ""),
  )
  .map((parts) => parts.join(""));

const mutation = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  kind: oneOf("insert", "replace", "drop"),
  byte: oneOf(0, 9, 10, 13, 32, 43, 44, 48, 49, 58, 59, 0x41, 0x7f, 0x80, 0xa0, 0xff),
});

const requestText = fc
  .record({
    line: mostly("POST /v1/events HTTP/1.1\r\n", "POST /v1/events/batch HTTP/1.1\r\n", "POST /v1/events HTTP/1.1\n"),
    before: fc.array(header, { maxLength: 3 }),
    length: mostly("", "+", "-", "0", "0x", " ", "\t"),
    after: fc.array(header, { maxLength: 2 }),
    body: fc.oneof(fc.constant(EVENT), fc.string({ maxLength: 40 }), fc.constant("0\r\n\r\n"), fc.constant("")),
    lengthOff: mostly(0, 1, -1, 5),
    mutations: fc.oneof(
      { weight: 2, arbitrary: fc.array(mutation, { maxLength: 0 }) },
      { weight: 1, arbitrary: fc.array(mutation, { maxLength: 2 }) },
    ),
  })
  .map(({ line, before, length, after, body, lengthOff, mutations }) => {
    const declared = `Content-Length: ${length}${Buffer.byteLength(body, "latin1") + lengthOff}\r\n`;
    const text = bytes(`${line}Host: x\r\n${before.join("")}${declared}${after.join("")}\r\n${body}`);
    return mutations.reduce(mutated, text);
  });

function mutated(text: Buffer, { at, kind, byte }: { at: number; kind: string; byte: number }): Buffer {
  const index = Math.floor(at * text.length);
  const rest = text.subarray(kind === "insert" ? index : index + 1);
  return Buffer.concat([text.subarray(0, index), Buffer.from(kind === "drop" ? [] : [byte]), rest]);
}

it("of what is taken, node:http would see the very same method, path, headers and body, and nothing else", async () => {
  let taken = 0;
  let left = 0;
  await fc.assert(
    fc.asyncProperty(requestText, async (chunk) => {
      const request = plainRequest(chunk);
      if (request === undefined) {
        left++;
        return;
      }
      taken++;
      const { method, url, headers, body } = request;
      const fields = Object.fromEntries(FIELDS.map((name) => [name, headers[name]]));
      expect(await readByNode(chunk)).toEqual([
        { method, url, headers: fields, body: body.toString("latin1"), keeps: true },
        expect.objectContaining({ method: "GET", url: "/sentinel" }),
      ]);
    }),
    { numRuns: 8_000 },
  );
  // Neither is the exception.
  expect(taken).toBeGreaterThan(800);
  expect(left).toBeGreaterThan(800);
});
