import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PulseGateError } from "../../core/canonical/errors.ts";
import { type Answer, call, checkSchema, type Gate, LIMITS, startGate } from "../../tests/helpers/http-gate.ts";

let gate: Gate;
let fault: unknown;
const appends: number[] = [];

beforeAll(async () => {
  gate = await startGate({
    limits: { eventBytesMax: 1000, batchEventsMax: 50 },
    writer: (log) => ({
      append: (entries) => {
        appends.push(entries.length);
        return fault === undefined ? log.append(entries) : Promise.reject(fault);
      },
      probe: () => log.probe(),
    }),
  });
});
afterAll(() => gate.close());

const NDJSON = { "content-type": "application/x-ndjson" };

async function batch(body: string | Uint8Array, headers: Record<string, string> = {}): Promise<Answer> {
  const answer = await call(`${gate.url}/v1/events/batch`, { body, headers });
  if (answer.json?.results !== undefined) checkSchema("BatchResults", answer.json);
  return answer;
}

const statuses = (answer: Answer) => answer.json.results.map(({ status }: { status: number }) => status);

describe.each([
  ["a JSON array", (events: string[]) => ` [ ${events.join(" , ")} ] `, {}],
  ["NDJSON", (events: string[]) => `${events.join("\n")}\n`, NDJSON],
])("a batch as %s", (_form, bodyOf, headers) => {
  const post = (...events: string[]) => batch(bodyOf(events), headers);

  it("is answered 202 when every event is stored, in one append and in order", async () => {
    const before = appends.length;
    const answer = await post('{"event_type":"a","x":1}', '{"event_type":"b","payload":{}}', '{"event_type":"c"}');
    expect(answer.status).toBe(202);
    expect(appends.slice(before)).toEqual([3]);
    const sequences = answer.json.results.map(({ position }: { position: string }) => Number(position.split("/")[2]));
    expect(sequences).toEqual([sequences[0], sequences[0] + 1, sequences[0] + 2]);
    expect(answer.json.results.map(({ index }: { index: number }) => index)).toEqual([0, 1, 2]);
  });

  it("is answered 207 when one event is not, and the others are stored", async () => {
    const big = `{"event_type":"a","x":"${"y".repeat(1000)}"}`;
    const answer = await post('{"event_type":"a"}', '{"event_type":1}', big, "7", '{"event_type":"d"}');
    expect(answer.status).toBe(207);
    expect(statuses(answer)).toEqual([202, 422, 413, 422, 202]);
    const problems = answer.json.results.map((result: { problem?: { code: string } }) => result.problem?.code);
    expect(problems).toEqual([undefined, "invalid_event", "event_too_large", "invalid_event", undefined]);
    expect(answer.json.results[1].problem.errors).toEqual([
      { pointer: "/event_type", code: "wrong_type", detail: "must be a string" },
    ]);
  });

  it("is answered 207 when no event is stored, without an append", async () => {
    const before = appends.length;
    const answer = await post("{}", "{}");
    expect(answer.status).toBe(207);
    expect(statuses(answer)).toEqual([422, 422]);
    expect(appends.length).toBe(before);
  });

  it("tells repeats and conflicts, also among its own events", async () => {
    const id = `r-${headers === NDJSON}`;
    const event = `{"event_type":"a","event_id":"${id}"}`;
    const answer = await post(event, event, `{"event_type":"b","event_id":"${id}"}`);
    expect(answer.status).toBe(207);
    const [first, second, third] = answer.json.results;
    expect(second).toEqual({ ...first, index: 1, duplicate: true });
    expect(third).toMatchObject({ index: 2, status: 422, problem: { code: "idempotency_conflict" } });
    const repeated = await post(event);
    expect(repeated.status).toBe(202);
    expect(repeated.json.results[0].duplicate).toBe(true);
  });

  it("is refused as a whole when it holds too many events or none", async () => {
    const events = new Array<string>(51).fill('{"event_type":"a"}');
    const before = await gate.stored();
    expect((await post(...events)).json).toMatchObject({ status: 413, code: "batch_too_large" });
    expect(await gate.stored()).toBe(before);
    expect((await post(...events.slice(1))).status).toBe(202);
    expect((await post()).json).toMatchObject({ status: 400, code: "malformed_request" });
  });

  it("is answered 503 as a whole when the log fails: nothing of it is acknowledged", async () => {
    fault = new PulseGateError("log_unavailable", "no");
    const answer = await post('{"event_type":"a"}', "{}");
    fault = undefined;
    expect(answer.json).toMatchObject({ status: 503, code: "log_unavailable", retryable: true });
  });

  it("needs no Idempotency-Key header: that is for one event", async () => {
    const answer = await batch(bodyOf(['{"event_type":"a"}']), { ...headers, "idempotency-key": "k" });
    expect(answer.json).toMatchObject({ status: 400, code: "malformed_request" });
  });

  it("gives all its events the request's trace", async () => {
    const traceId = "0af7651916cd43dd8448eb211c80319c";
    const traceparent = `00-${traceId}-b7ad6b7169203331-01`;
    const answer = await batch(bodyOf(["{}", '{"event_type":"a"}']), { ...headers, traceparent });
    expect(answer.json.results[0].problem.trace_id).toBe(traceId);
    const fate = await call(`${gate.url}/v1/events/${answer.json.results[1].event_id}`, { method: "GET" });
    expect(fate.json.trace_id).toBe(traceId);
  });
});

describe("NDJSON", () => {
  it("takes CRLF and blank lines, and a last line without an end", async () => {
    const answer = await batch('\r\n{"event_type":"a"}\r\n\n  \n{"event_type":"b"}', NDJSON);
    expect(statuses(answer)).toEqual([202, 202]);
  });

  it("judges each line alone: bad JSON and bad UTF-8 fail that line only", async () => {
    const lines = [
      Buffer.from('{"event_type":"a"}\n{"event_type":\n{"event_type":"'),
      Buffer.from([0xff]),
      Buffer.from('"}\n{"event_type":"d"}\n'),
    ];
    const answer = await batch(Buffer.concat(lines), NDJSON);
    expect(answer.status).toBe(207);
    expect(statuses(answer)).toEqual([202, 400, 400, 202]);
    expect(answer.json.results[2].problem.errors[0].code).toBe("invalid_utf8");
  });

  it("does not take a JSON array for one event", async () => {
    expect(statuses(await batch('[{"event_type":"a"}]', NDJSON))).toEqual([422]);
  });
});

describe("a JSON array", () => {
  it.each([
    ["[", "/0"],
    ['[{"event_type":"a"}', "/0"],
    ['[{"event_type":"a"},]', "/1"],
    ['[{"event_type":"a"} {"event_type":"b"}]', "/0"],
    ['[{"event_type":"a"},{"x":[1,}]', "/1/x/1"],
    ['[{"event_type":"a"}] x', ""],
    ['[,{"event_type":"a"}]', "/0"],
  ])("that is malformed is refused as a whole: %s", async (body, pointer) => {
    const before = await gate.stored();
    const answer = await batch(body);
    expect(answer.json).toMatchObject({
      status: 400,
      code: "malformed_json",
      errors: [{ code: "invalid_json", pointer }],
    });
    expect(await gate.stored()).toBe(before);
  });

  it("is what application/json stands for", async () => {
    const answer = await batch('{"event_type":"a"}\n{"event_type":"b"}');
    expect(answer.json).toMatchObject({ status: 400, code: "malformed_request" });
    expect(answer.json.detail).toContain("application/x-ndjson");
  });

  it("counts depth from each event, not from the array", async () => {
    const deep = (levels: number) => `{"event_type":"a","x":${"[".repeat(levels)}${"]".repeat(levels)}}`;
    expect(statuses(await batch(`[${deep(63)},${deep(64)}]`))).toEqual([202, 422]);
  });
});

it("refuses a batch above the byte limit", async () => {
  const small = await startGate({ limits: { batchBytesMax: 2000 } });
  const body = `{"event_type":"a"}\n`.repeat(200);
  const answer = await call(`${small.url}/v1/events/batch`, { body, headers: NDJSON });
  expect(answer.json).toMatchObject({ status: 413, code: "body_too_large" });
  await small.close();
});

it("takes the largest batch that the limits allow", async () => {
  const large = await startGate();
  const answer = await call(`${large.url}/v1/events/batch`, {
    body: `{"event_type":"a","x":"${"y".repeat(9000)}"}\n`.repeat(LIMITS.batchEventsMax),
    headers: NDJSON,
  });
  expect(answer.status).toBe(202);
  expect(await large.stored()).toBe(LIMITS.batchEventsMax);
  await large.close();
});

describe("a large batch", () => {
  const body = '{"event_type":"a"}\n'.repeat(2500);

  async function largeGate(failing: number | undefined) {
    const sizes: number[] = [];
    const large = await startGate({
      limits: { batchEventsMax: 2500 },
      writer: (log) => ({
        append: (entries) => {
          sizes.push(entries.length);
          if (sizes.length === failing) return Promise.reject(new PulseGateError("log_full", "no"));
          return log.append(entries);
        },
        probe: () => log.probe(),
      }),
    });
    return { large, sizes };
  }

  it("is stored in several appends, so that others get in between, with results in order", async () => {
    const { large, sizes } = await largeGate(undefined);
    const answer = await call(`${large.url}/v1/events/batch`, { body, headers: NDJSON });
    expect(sizes).toEqual([1000, 1000, 500]);
    const sequences = answer.json.results.map(({ position }: { position: string }) => Number(position.split("/")[2]));
    expect(sequences).toEqual(Array.from({ length: 2500 }, (_, i) => i));
    await large.close();
  });

  it.each([1, 2, 3])("is not acknowledged when append %i of it fails", async (failing) => {
    const { large } = await largeGate(failing);
    const answer = await call(`${large.url}/v1/events/batch`, { body, headers: NDJSON });
    expect(answer.json).toMatchObject({ status: 503, code: "log_full" });
    await large.close();
  });
});
