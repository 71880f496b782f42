import { PulseGateError } from "../../core/canonical/errors.ts";
import type { Admission, Admitted } from "../../core/ingestion/admit.ts";
import type { Ingestor } from "../../core/ingestion/ingest.ts";
import type { Limits, TenantConfig } from "../../core/ingestion/revision.ts";
import { EVENT_COST } from "../../core/qps/capacity.ts";
import type { Door } from "../../core/qps/door.ts";
import { collectBody } from "./body.ts";
import { postBatch } from "./batch.ts";
import type { Decoder } from "./content-encoding.ts";
import { ACCEPTED_ENCODINGS, decoderFor } from "./content-encoding.ts";
import type { Exchange } from "./exchange.ts";
import { guarded } from "./exchange.ts";
import type { FateLookup } from "./fate.ts";
import { getFate } from "./fate.ts";
import { OPENAPI_JSON } from "./openapi.ts";
import { enterQuota } from "./quota.ts";
import { credentialOf, idempotencyKeyOf, mediaTypeOf } from "./request-head.ts";
import { routed } from "./routes.ts";
import { postEvent } from "./single.ts";
import type { WireRequest } from "./wire.ts";

export interface HandlerPorts {
  readonly ingestor: Ingestor;
  readonly admission: Admission;
  readonly fate: FateLookup;
  readonly limits: () => Limits;
  readonly door: Door;
}

/**
 * Answers one request. All that can be refused from the head alone (path, credential, media type,
 * encoding, declared length) is refused before the body is read.
 */
export function handle(exchange: Exchange, ports: HandlerPorts): void {
  const { method = "", url = "" } = exchange.request;
  const route = routed(method, url);
  if (route === undefined) return exchange.refuse("not_found", `there is nothing at this path`);
  if (route.operation === undefined) {
    const detail = `allowed here: ${route.allow}`;
    return exchange.refuse("method_not_allowed", detail, { headers: ["Allow", route.allow] });
  }
  if (route.operation === "get_openapi") return exchange.replyText(200, OPENAPI_JSON);
  const admitted = admit(exchange.request, ports.admission);
  if (admitted === undefined) return refuseUnknown(exchange);
  exchange.admitted = admitted;
  if (route.operation === "get_fate") return getFate(exchange, route.segment, ports.fate);
  receive(exchange, ports, admitted, route.operation);
}

function admit({ headers }: WireRequest, admission: Admission): Admitted | undefined {
  const key = credentialOf(headers);
  return key === undefined ? undefined : admission.authenticate(key);
}

function refuseUnknown(exchange: Exchange): void {
  const detail = "send an API key as X-API-Key or as Authorization: Bearer";
  exchange.refuse("unauthenticated", detail, { headers: ["WWW-Authenticate", 'Bearer realm="pulsegate"'] });
}

const OVERLOADED = "PulseGate is at capacity, and this tenant uses its share of it; nothing was stored";

type PostOperation = "post_event" | "post_batch";

function receive(exchange: Exchange, ports: HandlerPorts, admitted: Admitted, operation: PostOperation): void {
  const { headers } = exchange.request;
  // Of the decoded body where nothing is encoded; the rest is charged once it is known.
  const declaredBytes = headers["content-encoding"] === undefined ? Number(headers["content-length"] ?? 0) : 0;
  const quota = ports.door.quotaOf(admitted.tenant.id);
  if (quota !== undefined && !enterQuota(exchange, quota, declaredBytes)) return;
  const { id, weight } = admitted.tenant;
  if (!exchange.scope.capacity.admits(id, weight))
    return exchange.refuseInTurn(() => exchange.refuse("overloaded", OVERLOADED));
  const mediaType = mediaTypeOf(headers["content-type"] ?? "application/json");
  if (!fits(operation, mediaType)) return refuseMediaType(exchange, operation);
  const decoder = decoderFor(headers["content-encoding"]);
  if (decoder === "unsupported") return refuseEncoding(exchange);
  const limits = narrowed(ports.limits(), admitted.tenant, quota?.eventsAtOnceMax);
  const bytesMax = operation === "post_event" ? limits.eventBytesMax : limits.batchBytesMax;
  if (Number(headers["content-length"] ?? 0) > bytesMax) {
    return exchange.refuse("body_too_large", `the body is larger than ${bytesMax} bytes`);
  }
  const key = headerKey(exchange, operation);
  if (key === null) return;
  if (exchange.continues) exchange.response.writeContinue();
  const { eventBytesMax, batchEventsMax: eventsMax } = limits;
  const context = { ingestor: ports.ingestor, admitted, eventBytesMax, eventsMax, idempotencyKey: key };
  const form = mediaType === "application/x-ndjson" ? "lines" : "array";
  readBody(exchange, { bytesMax, decoder }, (body) => {
    exchange.hold(EVENT_COST);
    if (body.length > declaredBytes) quota?.charge({ events: 0, bytes: body.length - declaredBytes });
    if (operation === "post_event") postEvent(exchange, body, context);
    else postBatch(exchange, body, { ...context, form });
  });
}

/** The limits of all, and the tenant's own where those are less. A batch that its quota never lets in is too large. */
function narrowed(limits: Limits, { quota }: TenantConfig, eventsAtOnceMax: number | undefined): Limits {
  if (quota === undefined) return limits;
  const { eventBytesMax = Number.POSITIVE_INFINITY, batchEventsMax = Number.POSITIVE_INFINITY } = quota;
  return {
    ...limits,
    eventBytesMax: Math.min(limits.eventBytesMax, eventBytesMax),
    batchEventsMax: Math.min(limits.batchEventsMax, batchEventsMax, eventsAtOnceMax ?? Number.POSITIVE_INFINITY),
  };
}

function fits(operation: PostOperation, mediaType: string | undefined): boolean {
  return mediaType === "application/json" || (operation === "post_batch" && mediaType === "application/x-ndjson");
}

function refuseMediaType(exchange: Exchange, operation: PostOperation): void {
  const accepted = operation === "post_event" ? "application/json" : "application/json, application/x-ndjson";
  const elsewhere = operation === "post_event" ? "; several events go to /v1/events/batch" : "";
  const detail = `send Content-Type: ${accepted.replace(", ", " or ")}, in UTF-8${elsewhere}`;
  exchange.refuse("unsupported_media_type", detail, { headers: ["Accept-Post", accepted] });
}

function refuseEncoding(exchange: Exchange): void {
  const detail = `send one of these encodings or none: ${ACCEPTED_ENCODINGS}`;
  exchange.refuse("unsupported_encoding", detail, { headers: ["Accept-Encoding", ACCEPTED_ENCODINGS] });
}

/** The header's key; undefined without one; null when it was refused. */
function headerKey(exchange: Exchange, operation: PostOperation): string | undefined | null {
  const header = exchange.request.headers["idempotency-key"];
  if (header === undefined) return undefined;
  const key = typeof header === "string" ? idempotencyKeyOf(header) : undefined;
  if (key !== undefined && operation === "post_event") return key;
  const detail =
    operation === "post_batch"
      ? "Idempotency-Key is for one event: give each event of a batch its idempotency_key"
      : "Idempotency-Key must be one string of 1–255 printable ASCII characters";
  exchange.refuse("malformed_request", detail);
  return null;
}

interface BodySource {
  readonly bytesMax: number;
  readonly decoder: Decoder | undefined;
}

function readBody(exchange: Exchange, { bytesMax, decoder }: BodySource, use: (body: Buffer) => void): void {
  if (decoder === undefined) return collectBody(exchange, bytesMax, use);
  const done = (body: Buffer) => guarded(exchange, () => use(body));
  collectBody(exchange, bytesMax, (encoded) => decodeBody(exchange, decoder.decode(encoded, bytesMax), done));
}

function decodeBody(exchange: Exchange, decoding: Promise<Buffer>, done: (body: Buffer) => void): void {
  const use = (body: Buffer) => {
    exchange.hold(body.length);
    done(body);
  };
  decoding.then(use, (error: unknown) => {
    if (error instanceof PulseGateError) exchange.refuse(error.code, error.message);
    else exchange.fail(error);
  });
}
