import { brotliCompressSync, constants, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { call, type Gate, residentBytes, startGate } from "../../tests/helpers/http-gate.ts";

let gate: Gate;
beforeAll(async () => {
  gate = await startGate({ limits: { eventBytesMax: 64 * 1024, batchBytesMax: 1024 * 1024 } });
});
afterAll(() => gate.close());

const post = (encoding: string, body: Uint8Array, path = "/v1/events") =>
  call(`${gate.url}${path}`, { body, headers: { "content-encoding": encoding } });

const EVENT = Buffer.from(JSON.stringify({ event_type: "a", text: "Hà Nội ".repeat(100) }));
const CODINGS: ReadonlyArray<readonly [name: string, compress: (bytes: Uint8Array) => Buffer]> = [
  ["gzip", gzipSync],
  ["x-gzip", gzipSync],
  // The best quality takes seconds for a bomb, in which the kept-alive connections run out.
  ["br", (bytes) => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } })],
  ["zstd", zstdCompressSync],
];

describe.each(CODINGS)("Content-Encoding: %s", (encoding, compress) => {
  it("is decoded", async () => {
    expect((await post(encoding, compress(EVENT))).status).toBe(202);
    expect((await post(encoding.toUpperCase(), compress(EVENT))).status).toBe(202);
  });

  it("is decoded up to the limit exactly", async () => {
    const event = (bytes: number) => {
      const empty = '{"event_type":"a","x":""}';
      return Buffer.from(empty.replace('""', `"${"y".repeat(bytes - empty.length)}"`));
    };
    expect((await post(encoding, compress(event(64 * 1024)))).status).toBe(202);
    expect((await post(encoding, compress(event(64 * 1024 + 1)))).json).toMatchObject({
      status: 413,
      code: "body_too_large",
    });
  });

  it("that ends too early, is damaged or is something else is refused", async () => {
    const whole = compress(EVENT);
    for (const cut of [1, 5, whole.length >> 1]) {
      expect((await post(encoding, whole.subarray(0, whole.length - cut))).json).toMatchObject({
        status: 400,
        code: "malformed_encoding",
      });
    }
    expect((await post(encoding, EVENT)).json).toMatchObject({ status: 400, code: "malformed_encoding" });
    expect((await post(encoding, new Uint8Array())).json).toMatchObject({ status: 400 });
  });

  it("with bytes behind its end is refused", async () => {
    const answer = await post(encoding, Buffer.concat([compress(EVENT), Buffer.from("tail")]));
    expect(answer.json).toMatchObject({ status: 400, code: "malformed_encoding" });
  });

  it("refuses a bomb without unpacking it", async () => {
    const bomb = compress(Buffer.alloc(64 * 1024 * 1024));
    const before = residentBytes();
    const cpu = process.cpuUsage();
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => post(encoding, bomb.subarray(0, 60_000), "/v1/events/batch")),
    );
    for (const { json } of answers) expect(json.status).toBe(413);
    // Twenty times 64 MiB unpacked would take seconds, and over a gigabyte.
    expect(process.cpuUsage(cpu).user / 1e6).toBeLessThan(1);
    expect(residentBytes() - before).toBeLessThan(100 * 1024 * 1024);
  });
});

it("refuses a zstd frame that asks for a window beyond 8 MiB", async () => {
  const params = { [constants.ZSTD_c_windowLog]: 26, [constants.ZSTD_c_enableLongDistanceMatching]: 1 };
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  // Of a stream whose length is not known ahead the frame must carry the window.
  const { createZstdCompress } = await import("node:zlib");
  const stream = createZstdCompress({ params });
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  stream.on("end", () => resolve(Buffer.concat(chunks)));
  stream.write(EVENT);
  stream.end();
  expect((await post("zstd", await promise)).json).toMatchObject({ status: 400, code: "malformed_encoding" });
});

it.each(["deflate", "compress", "snappy", "gzip, br", "gzip,gzip", "gzip;q=1", "*", "__proto__", "constructor"])(
  "refuses Content-Encoding: %s and says what it takes",
  async (encoding) => {
    const answer = await post(encoding, deflateSync(EVENT));
    expect(answer.json).toMatchObject({ status: 415, code: "unsupported_encoding" });
    expect(answer.headers["accept-encoding"]).toBe("gzip, br, zstd");
  },
);

it("takes identity as none", async () => {
  expect((await post("identity", EVENT)).status).toBe(202);
});

it("decodes many bodies at once, each its own", async () => {
  const bodies = Array.from({ length: 100 }, (_, n) => gzipSync(`{"event_type":"a","event_id":"many-${n}"}`));
  const answers = await Promise.all(bodies.map((body) => post("gzip", body)));
  expect(answers.map(({ json }) => json.event_id)).toEqual(bodies.map((_, n) => `many-${n}`));
});

it("decodes a batch", async () => {
  const body = gzipSync('{"event_type":"a"}\n{"event_type":"b"}\n');
  const headers = { "content-encoding": "gzip", "content-type": "application/x-ndjson" };
  const answer = await call(`${gate.url}/v1/events/batch`, { body, headers });
  expect(answer.status).toBe(202);
  expect(answer.json.results).toHaveLength(2);
});
