import type { BodySink, RequestHeaders, WireRequest } from "./wire.ts";

/** A whole request that came in one chunk. */
export class PlainRequest implements WireRequest {
  readonly method = "POST";
  readonly complete = true;
  readonly url: string;
  readonly headers: RequestHeaders;
  /** A view into the chunk, until somebody took it. */
  body: Buffer;
  sink: BodySink | undefined = undefined;

  constructor(url: string, headers: RequestHeaders, body: Buffer) {
    this.url = url;
    this.headers = headers;
    this.body = body;
  }
}

/**
 * The request that a chunk is, if it is exactly one whole request to post events, in the one spelling
 * that leaves nothing to interpret. Undefined is no judgement: node:http then reads the chunk, and
 * whatever is wrong with it is found there. Nothing may be taken here that node:http would read in another way.
 */
export function plainRequest(chunk: Buffer): PlainRequest | undefined {
  const path = pathOf(chunk);
  if (path === undefined) return undefined;
  const bodyFrom = readHead(chunk, path.line.length);
  if (bodyFrom < 0) return undefined;
  const length = bodyLength(chunk);
  if (length !== chunk.length - bodyFrom) return undefined;
  const head = chunk.toString("latin1", 0, bodyFrom);
  return new PlainRequest(path.url, new PlainHeaders(head), chunk.subarray(bodyFrom));
}

/** Much less than node:http takes. */
const HEAD_BYTES_MAX = 8 * 1024;
const HEADERS_MAX = 64;

interface Path {
  readonly url: string;
  readonly line: Buffer;
}

const PATHS: readonly Path[] = ["/v1/events", "/v1/events/batch"].map((url) => ({
  url,
  line: Buffer.from(`POST ${url} HTTP/1.1\r\n`, "latin1"),
}));

function pathOf(chunk: Buffer): Path | undefined {
  for (const path of PATHS) if (startsWith(chunk, path.line)) return path;
  return undefined;
}

function startsWith(chunk: Buffer, line: Buffer): boolean {
  if (chunk.length < line.length) return false;
  for (let i = 0; i < line.length; i++) if (chunk[i] !== line[i]) return false;
  return true;
}

/** What the names of headers mean here. All others are of no meaning, to node:http as well. */
const FIELDS = [
  "host",
  "connection",
  "content-length",
  "authorization",
  "content-type",
  "idempotency-key",
  "traceparent",
  "x-api-key",
] as const;

const field = (name: (typeof FIELDS)[number]): number => FIELDS.indexOf(name);
const HOST = field("host");
const CONNECTION = field("connection");
const CONTENT_LENGTH = field("content-length");
const AUTHORIZATION = field("authorization");
const CONTENT_TYPE = field("content-type");
const IDEMPOTENCY_KEY = field("idempotency-key");
const TRACEPARENT = field("traceparent");
const X_API_KEY = field("x-api-key");

/** They change how a request is read or answered: node:http knows how. */
const NOT_PLAIN = [
  "content-encoding",
  "expect",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
] as const;
const REFUSED = -2;
const UNKNOWN = -1;

interface Name {
  readonly bytes: Buffer;
  readonly field: number;
}

/** By length. */
const NAMES: readonly (readonly Name[])[] = Array.from({ length: 20 }, (_, length) =>
  [
    ...FIELDS.map((text, index) => ({ bytes: Buffer.from(text, "latin1"), field: index })),
    ...NOT_PLAIN.map((text) => ({ bytes: Buffer.from(text, "latin1"), field: REFUSED })),
  ].filter(({ bytes }) => bytes.length === length),
);

/** Where the values of the last head lie: from and to by field, -1 for none. Reading is synchronous. */
const spans = new Int32Array(FIELDS.length * 2);

const CR = 0x0d;
const LF = 0x0a;
const COLON = 0x3a;
const SPACE = 0x20;
const TAB = 0x09;

/** By byte: a character of a header's name (RFC 9110, 5.6.2). */
const IS_TOKEN = new Uint8Array(256);
for (const character of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
  IS_TOKEN[character.charCodeAt(0)] = 1;

/** By byte: printable ASCII, space or tab. */
const IS_VALUE = new Uint8Array(256);
IS_VALUE.fill(1, SPACE, 0x7f);
IS_VALUE[TAB] = 1;

/** Finds the values of all headers; gives the offset of the body, or -1 where anything is out of the plain. */
function readHead(chunk: Buffer, from: number): number {
  spans.fill(-1);
  const end = Math.min(chunk.length, HEAD_BYTES_MAX) - 1;
  let at = from;
  for (let count = 0; count <= HEADERS_MAX && at < end; count++) {
    if (chunk[at] === CR) return chunk[at + 1] === LF && isComplete(chunk) ? at + 2 : -1;
    at = readHeader(chunk, at, end);
    if (at < 0) return -1;
  }
  return -1;
}

/** Gives the offset behind a header's line that starts at `from`, or -1. */
function readHeader(chunk: Buffer, from: number, end: number): number {
  let at = from;
  while (at < end && IS_TOKEN[chunk[at] as number] === 1) at++;
  if (at === from || chunk[at] !== COLON) return -1;
  const nameTo = at++;
  while (at < end && isBlank(chunk[at])) at++;
  const valueFrom = at;
  while (at < end && IS_VALUE[chunk[at] as number] === 1) at++;
  if (chunk[at] !== CR || chunk[at + 1] !== LF) return -1;
  let valueTo = at;
  while (valueTo > valueFrom && isBlank(chunk[valueTo - 1])) valueTo--;
  const index = fieldOf(chunk, from, nameTo);
  if (index === REFUSED) return -1;
  if (index !== UNKNOWN) {
    if ((spans[index * 2] as number) >= 0) return -1;
    spans[index * 2] = valueFrom;
    spans[index * 2 + 1] = valueTo;
  }
  return at + 2;
}

function isBlank(byte: number | undefined): boolean {
  return byte === SPACE || byte === TAB;
}

function fieldOf(chunk: Buffer, from: number, to: number): number {
  for (const { bytes, field: index } of NAMES[to - from] ?? []) if (isName(chunk, from, bytes)) return index;
  return UNKNOWN;
}

/** Of tokens: setting the bit of a small letter makes no other character a letter or a dash. */
function isName(chunk: Buffer, from: number, name: Buffer): boolean {
  for (let i = 0; i < name.length; i++) if (((chunk[from + i] as number) | 0x20) !== name[i]) return false;
  return true;
}

const KEEP_ALIVE = Buffer.from("keep-alive", "latin1");

/** It says for whom it is, and that the connection goes on. */
function isComplete(chunk: Buffer): boolean {
  const host = spans[HOST * 2] as number;
  if (host < 0 || host === spans[HOST * 2 + 1]) return false;
  const from = spans[CONNECTION * 2] as number;
  if (from < 0) return true;
  return (spans[CONNECTION * 2 + 1] as number) - from === KEEP_ALIVE.length && isName(chunk, from, KEEP_ALIVE);
}

const ZERO = 0x30;
/** A body of more digits is not whole in one chunk. */
const LENGTH_DIGITS_MAX = 7;

/** The declared length; -1 without one, or when it is not in its shortest form. */
function bodyLength(chunk: Buffer): number {
  const from = spans[CONTENT_LENGTH * 2] as number;
  const to = spans[CONTENT_LENGTH * 2 + 1] as number;
  const digits = to - from;
  if (from < 0 || digits === 0 || digits > LENGTH_DIGITS_MAX || (chunk[from] === ZERO && digits > 1)) return -1;
  let length = 0;
  for (let i = from; i < to; i++) {
    const digit = (chunk[i] as number) - ZERO;
    if (digit < 0 || digit > 9) return -1;
    length = length * 10 + digit;
  }
  return length;
}

class PlainHeaders implements RequestHeaders {
  readonly authorization: string | undefined;
  readonly "content-length": string | undefined;
  readonly "content-type": string | undefined;
  readonly "idempotency-key": string | undefined;
  readonly traceparent: string | undefined;
  readonly "x-api-key": string | undefined;

  constructor(head: string) {
    this.authorization = valueOf(head, AUTHORIZATION);
    this["content-length"] = valueOf(head, CONTENT_LENGTH);
    this["content-type"] = valueOf(head, CONTENT_TYPE);
    this["idempotency-key"] = valueOf(head, IDEMPOTENCY_KEY);
    this.traceparent = valueOf(head, TRACEPARENT);
    this["x-api-key"] = valueOf(head, X_API_KEY);
  }
}

function valueOf(head: string, index: number): string | undefined {
  const from = spans[index * 2] as number;
  return from < 0 ? undefined : head.slice(from, spans[index * 2 + 1]);
}
