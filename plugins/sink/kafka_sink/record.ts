import { type CanonicalEvent, encodeEvent, payloadJson } from "../../contract.ts";
import type { Config } from "./config.ts";

export interface KafkaRecord {
  readonly topic: string;
  readonly key?: Buffer;
  readonly value: Buffer;
  readonly headers: Map<Buffer, Buffer>;
  /** Milliseconds since the epoch. */
  readonly timestamp: bigint;
}

/**
 * The event as a record by the CloudEvents Kafka binding, binary mode: attributes are headers `ce_*`,
 * the value is the data. https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md
 */
export function recordOf(
  event: CanonicalEvent,
  { topic, key, value }: Pick<Config, "topic" | "key" | "value">,
): KafkaRecord {
  return {
    topic,
    ...(key === "none" ? {} : { key: Buffer.from(event[key]) }),
    value: value === "payload" ? payloadJson(event) : encodeEvent(event),
    headers: headersOf(event),
    // Not when it happened: that is the client's word, and brokers refuse times in the future.
    timestamp: BigInt(Date.parse(event.received_at)),
  };
}

const SPEC_VERSION = Buffer.from("1.0");
const JSON_TYPE = Buffer.from("application/json");
const NAMES = {
  contentType: Buffer.from("content-type"),
  specVersion: Buffer.from("ce_specversion"),
  id: Buffer.from("ce_id"),
  type: Buffer.from("ce_type"),
  source: Buffer.from("ce_source"),
  time: Buffer.from("ce_time"),
  tenant: Buffer.from("ce_tenantid"),
  received: Buffer.from("ce_receivedat"),
  ingress: Buffer.from("ce_ingress"),
  trace: Buffer.from("ce_traceid"),
  idempotency: Buffer.from("ce_idempotencykey"),
} as const;

function headersOf(event: CanonicalEvent): Map<Buffer, Buffer> {
  const headers = new Map<Buffer, Buffer>([
    [NAMES.contentType, JSON_TYPE],
    [NAMES.specVersion, SPEC_VERSION],
    [NAMES.id, Buffer.from(event.event_id)],
    [NAMES.type, Buffer.from(event.event_type)],
    // With `ce_id` it must be unique; event ids are so within a tenant.
    [NAMES.source, Buffer.from(`/pulsegate/${event.tenant_id}`)],
    [NAMES.time, Buffer.from(event.occurred_at)],
    [NAMES.tenant, Buffer.from(event.tenant_id)],
    [NAMES.received, Buffer.from(event.received_at)],
    [NAMES.ingress, Buffer.from(event.source)],
  ]);
  if (event.trace_id !== undefined) headers.set(NAMES.trace, Buffer.from(event.trace_id));
  if (event.idempotency_key !== undefined) headers.set(NAMES.idempotency, Buffer.from(event.idempotency_key));
  return headers;
}

/** Bytes that the record takes in a request, rather too many than too few. */
export function recordBytes({ key, value, headers }: KafkaRecord): number {
  let bytes = value.length + (key?.length ?? 0) + RECORD_OVERHEAD_BYTES;
  for (const [name, text] of headers) bytes += name.length + text.length + HEADER_OVERHEAD_BYTES;
  return bytes;
}

/** Lengths, attributes, time and offset: at most this much, by the record format's varints. */
const RECORD_OVERHEAD_BYTES = 32;
const HEADER_OVERHEAD_BYTES = 4;
