import { describe, expect, it } from "vitest";
import { parseEvent } from "./parse.ts";

/** A body, and what is said of it: "ok", or `code pointer` of each violation. */
type Case = readonly [body: string | Buffer, verdict: string];

const raw = (...parts: Array<string | number[]>) =>
  Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : Buffer.from(part))));
const nested = (levels: number, open: string, close: string) => open.repeat(levels) + close.repeat(levels);

const SYNTAX: Case[] = [
  ["", "invalid_json"],
  [" ", "invalid_json"],
  ["\u0000", "invalid_json"],
  ["\ufeff{}", "invalid_json"],
  ["{", "invalid_json"],
  ["}", "invalid_json"],
  ['{"event_type":"a"', "invalid_json /event_type"],
  ['{"event_type":"a"}}', "invalid_json"],
  ['{"event_type":"a"}{"event_type":"b"}', "invalid_json"],
  ['{"event_type":"a"} x', "invalid_json"],
  ['{"event_type":"a",}', "invalid_json"],
  ['{,"event_type":"a"}', "invalid_json"],
  ['{"event_type" "a"}', "invalid_json /event_type"],
  ['{"event_type":}', "invalid_json /event_type"],
  ['{event_type:"a"}', "invalid_json"],
  ["{'event_type':'a'}", "invalid_json"],
  ['{"event_type":"a"/**/}', "invalid_json /event_type"],
  ['{"event_type":"a","x":01}', "invalid_json /x"],
  ['{"event_type":"a","x":+1}', "invalid_json /x"],
  ['{"event_type":"a","x":.5}', "invalid_json /x"],
  ['{"event_type":"a","x":1.}', "invalid_json /x"],
  ['{"event_type":"a","x":1e}', "invalid_json /x"],
  ['{"event_type":"a","x":0x10}', "invalid_json /x"],
  ['{"event_type":"a","x":NaN}', "invalid_json /x"],
  ['{"event_type":"a","x":-Infinity}', "invalid_json /x"],
  ['{"event_type":"a","x":undefined}', "invalid_json /x"],
  ['{"event_type":"a","x":True}', "invalid_json /x"],
  ['{"event_type":"a","x":"\t"}', "invalid_json /x"],
  ['{"event_type":"a","x":"\n"}', "invalid_json /x"],
  ['{"event_type":"a","x":"\\x41"}', "invalid_json /x"],
  ['{"event_type":"a","x":"\\u00g0"}', "invalid_json /x"],
  ['{"event_type":"a","x":"\\"}', "invalid_json /x"],
  ['{"event_type":"a","x":[1,2,]}', "invalid_json /x/2"],
  ['{"event_type":"a","x":[1}', "invalid_json /x/0"],
  ['{"event_type":"a","x":{"y":1]}', "invalid_json /x/y"],
  ['{"event_type":"a","payload":{"x":[{"y":tru}]}}', "invalid_json /payload/x/0/y"],
  ['\u00a0{"event_type":"a"}', "invalid_json"],
  ['{"event_type":"a"}\u2028', "invalid_json"],
];

const ENCODING: Case[] = [
  [raw('{"event_type":"a","x":"', [0xff], '"}'), "invalid_utf8"],
  [raw('{"event_type":"a","x":"', [0xc0, 0xaf], '"}'), "invalid_utf8"],
  [raw('{"event_type":"a","x":"', [0xed, 0xa0, 0x80], '"}'), "invalid_utf8"],
  [raw('{"event_type":"a","x":"', [0xf4, 0x90, 0x80, 0x80], '"}'), "invalid_utf8"],
  [raw('{"event_type":"a","x":"', [0xe2, 0x82], '"}'), "invalid_utf8"],
  [raw('{"event_type":"a","x":"', [0x80], '"}'), "invalid_utf8"],
  [Buffer.from('{"event_type":"a"}', "utf16le"), "invalid_json"],
  ['{"event_type":"a","x":"\u{1f600} \uffff \u007f"}', "ok"],
  ['{"event_type":"a","x":"\\u0000"}', "ok"],
  ['{"event_type":"a","x":"\\ud800","y":"\\udc00\\ud800"}', "ok"],
  ['{"event_type":"a","\\ud800":1}', "ok"],
];

const SHAPE: Case[] = [
  ["null", "not_an_object"],
  ["true", "not_an_object"],
  ["1e999", "not_an_object"],
  ['"event_type"', "not_an_object"],
  ["[]", "not_an_object"],
  ['[{"event_type":"a"}]', "not_an_object"],
  [nested(100_000, "[", "]"), "too_large"],
  ["{}", "missing /event_type"],
  ['{"payload":{}}', "missing /event_type"],
  ['{"Event_Type":"a"}', "missing /event_type"],
  ['{"event_type":"a"}', "ok"],
  ['\r\n\t {"event_type":"a"} \r\n', "ok"],
  ['{"event_type":"a","payload":null}', "wrong_type /payload"],
  ['{"event_type":"a","payload":"{}"}', "wrong_type /payload"],
  ['{"event_type":"a","payload":[]}', "wrong_type /payload"],
  ['{"event_type":"a","payload":{},"user_id":1}', "unknown_member /user_id"],
  ['{"event_type":"a","payload":{},"timestamp":"2025-03-01T12:00:00Z"}', "unknown_member /timestamp"],
  ['{"event_type":"a","payload":{},"__proto__":{}}', "unknown_member /__proto__"],
  ['{"event_type":"a","payload":{},"":1}', "unknown_member /"],
  ['{"event_type":"a","__proto__":{"isAdmin":true},"constructor":{"prototype":1},"toString":0}', "ok"],
  ['{"event_type":"a","payload":{"__proto__":1,"hasOwnProperty":2}}', "ok"],
];

const MEMBERS: Case[] = [
  ['{"event_type":1}', "wrong_type /event_type"],
  ['{"event_type":null}', "wrong_type /event_type"],
  ['{"event_type":""}', "invalid_format /event_type"],
  ['{"event_type":"a b"}', "invalid_format /event_type"],
  ['{"event_type":"a\\n"}', "invalid_format /event_type"],
  ['{"event_type":"é"}', "invalid_format /event_type"],
  ['{"event_type":"a\\u0000"}', "invalid_format /event_type"],
  ['{"event_type":"\'; DROP TABLE events_raw; --"}', "invalid_format /event_type"],
  ['{"event_type":"../../etc/passwd"}', "invalid_format /event_type"],
  ['{"event_type":"a.b:c-d_E9"}', "ok"],
  [`{"event_type":"${"a".repeat(128)}"}`, "ok"],
  [`{"event_type":"${"a".repeat(129)}"}`, "invalid_format /event_type"],
  [`{"event_type":"${"\\u0061".repeat(128)}"}`, "ok"],
  [`{"event_type":"${"\\u0061".repeat(300)}"}`, "invalid_format /event_type"],
  ['{"event_type":"a","event_id":""}', "invalid_format /event_id"],
  ['{"event_type":"a","event_id":"a b"}', "invalid_format /event_id"],
  ['{"event_type":"a","event_id":123}', "wrong_type /event_id"],
  ['{"event_type":"a","event_id":"~!\\"\\\\/{}"}', "ok"],
  [`{"event_type":"a","event_id":"${"x".repeat(129)}"}`, "invalid_format /event_id"],
  ['{"event_type":"a","trace_id":"a/b"}', "invalid_format /trace_id"],
  ['{"event_type":"a","idempotency_key":"two words"}', "ok"],
  ['{"event_type":"a","idempotency_key":""}', "invalid_format /idempotency_key"],
  ['{"event_type":"a","idempotency_key":"ключ"}', "invalid_format /idempotency_key"],
  [`{"event_type":"a","idempotency_key":"${"k".repeat(256)}"}`, "invalid_format /idempotency_key"],
  ['{"event_type":"a","timestamp":1740830400}', "wrong_type /timestamp"],
  ['{"event_type":"a","timestamp":"2025-02-30T00:00:00Z"}', "invalid_format /timestamp"],
  ['{"event_type":"a","occurred_at":"2025-03-01"}', "invalid_format /occurred_at"],
  [
    '{"event_type":"a","occurred_at":"2025-03-01T12:00:00Z","timestamp":"2025-03-01T12:00:00Z"}',
    "duplicate_member /timestamp",
  ],
  ['{"event_type":"a","tenant_id":"shop"}', "ok"],
  ['{"event_type":"a","tenant_id":"sh\\u006fp","payload":{}}', "ok"],
  ['{"event_type":"a","tenant_id":"other"}', "reserved_member /tenant_id"],
  ['{"event_type":"a","tenant_id":["shop"]}', "reserved_member /tenant_id"],
  ['{"event_type":"a","tenant_id":null}', "reserved_member /tenant_id"],
  ['{"event_type":"a","tenant\\u005fid":"other"}', "reserved_member /tenant_id"],
  ['{"event_type":"a","received_at":"2025-03-01T12:00:00Z"}', "reserved_member /received_at"],
  ['{"event_type":"a","source":"kafka","payload":{}}', "reserved_member /source"],
  ['{"event_type":"a","payload":{"tenant_id":"other","source":"x"}}', "ok"],
];

const HAZARDS: Case[] = [
  ['{"event_type":"a","event_type":"b"}', "duplicate_member /event_type"],
  ['{"event_type":"a","event\\u005ftype":"b"}', "duplicate_member /event_type"],
  ['{"event_type":"a","tenant_id":"shop","tenant_id":"other"}', "duplicate_member /tenant_id"],
  ['{"event_type":"a","payload":{},"payload":{}}', "duplicate_member /payload"],
  ['{"event_type":"a","x":1,"x":1}', "duplicate_member /x"],
  ['{"event_type":"a","payload":{"x":1,"x":2}}', "ok"],
  ['{"event_type":"a","x":1e400}', "number_out_of_range /x"],
  ['{"event_type":"a","payload":{"x":[0,-1e309]}}', "number_out_of_range /payload/x/1"],
  [`{"event_type":"a","x":${"9".repeat(400)}}`, "number_out_of_range /x"],
  ['{"event_type":"a","x":1e-400,"y":1.7976931348623157e308}', "ok"],
  ['{"event_type":"a","x":9007199254740993,"y":0.1234567890123456789}', "ok"],
  [`{"event_type":"a","x":${nested(63, "[", "]")}}`, "ok"],
  [`{"event_type":"a","x":${nested(64, "[", "]")}}`, `too_deep /x${"/0".repeat(63)}`],
  [`{"event_type":"a","x":${'{"a":'.repeat(64)}1${"}".repeat(64)}}`, `too_deep /x${"/a".repeat(63)}`],
  [`{"event_type":"a","x":"${"y".repeat(2000)}"}`, "ok"],
  [`{"event_type":"a","x":"${"y".repeat(9000)}"}`, "too_large"],
  [`{"event_type":"a","payload":{},"${"n".repeat(4000)}":1}`, "unknown_member"],
];

function verdict(body: string | Buffer): string {
  const ids = { eventId: () => "made", traceId: () => "made" };
  const parsed = parseEvent(Buffer.from(body as string), {
    tenantId: "shop",
    source: "http",
    eventBytesMax: 8192,
    ids,
  });
  if (parsed.ok) return "ok";
  return parsed.violations.map(({ code, pointer }) => `${code} ${pointer}`.trimEnd()).join(", ");
}

describe.each([
  ["syntax", SYNTAX],
  ["encoding", ENCODING],
  ["shape", SHAPE],
  ["members", MEMBERS],
  ["hazards", HAZARDS],
])("hostile input: %s", (_group, cases) => {
  it.each(cases)("%j is judged as %s", (body, expected) => expect(verdict(body)).toBe(expected));
});
