import { isUtf8 } from "node:buffer";
import { timestamp } from "../../core/canonical/codec.ts";
import type { AuditEntry } from "../../core/ingestion/audit.ts";
import type { LaneHold } from "../../core/ingestion/lane-holds.ts";
import { ledgerEntry } from "../../core/ingestion/ledger.ts";
import type { Audit } from "../../core/ingestion/ledger.ts";
import type { DeadLetter, LaneState, StreamBounds } from "../../core/ingestion/log.ts";
import { formatPosition, laneKey } from "../../core/ingestion/log.ts";
import type { KeyView } from "../../core/ingestion/stored-keys.ts";
import type { ConfigState, LaneStatus, RevisionInfo } from "./ports.ts";

export function deadLetterId(letter: DeadLetter): string {
  return `${laneKey(letter.lane)}/${letter.sequence}`;
}

/** One line of a listing. */
export function deadLetterSummary(letter: DeadLetter) {
  const { lane, sequence } = letter;
  return {
    id: deadLetterId(letter),
    tenant: lane.stream.tenantId,
    sink: lane.sink,
    position: formatPosition(lane.stream, sequence),
    event_id: letter.eventId,
    event_type: letter.eventType,
    received_at: timestamp(letter.receivedAt),
    died_at: timestamp(letter.diedAt),
    stage: letter.stage,
    code: letter.code,
    message: letter.message,
    fingerprint: letter.fingerprint,
    attempts: letter.attempts.length,
    config_revision: letter.configRevision,
  };
}

/**
 * The whole record as JSON text. The event stands in it byte for byte, big numbers included; bytes that
 * are no JSON (stage `decode`) stand there as `event_base64`.
 */
export function deadLetterJson(letter: DeadLetter): string {
  const record = JSON.stringify({
    ...deadLetterSummary(letter),
    response: letter.response,
    attempts: letter.attempts.map(({ at, reason }) => ({ at: timestamp(at), reason })),
    plugins: letter.plugins,
  });
  const event = isJson(letter.bytes)
    ? `"event":${letter.bytes.toString("utf8")}`
    : `"event_base64":"${letter.bytes.toString("base64")}"`;
  return `${record.slice(0, -1)},${event}}`;
}

function isJson(bytes: Buffer): boolean {
  try {
    JSON.parse(bytes.toString("utf8"));
    return isUtf8(bytes);
  } catch {
    return false;
  }
}

/** A lane and its stream, as the log has them. */
export interface LaneNow {
  readonly tenantId: string;
  readonly partition: number;
  readonly sink: string;
  readonly state: LaneState;
  readonly bounds: StreamBounds;
}

export interface LaneKnown {
  readonly status: LaneStatus | undefined;
  readonly hold: LaneHold | undefined;
  /** Its sink is gone. */
  readonly orphan: boolean;
}

export function laneView({ tenantId, partition, sink, state, bounds }: LaneNow, { status, hold, orphan }: LaneKnown) {
  const held =
    hold?.paused === true ? { paused_by: hold.by, paused_at: timestamp(hold.at), reason: hold.reason } : undefined;
  return {
    id: laneKey({ stream: { tenantId, partition }, sink }),
    tenant: tenantId,
    partition,
    sink,
    state: orphan ? "orphan" : held === undefined ? "running" : "paused",
    start: state.start,
    cursor: state.cursor,
    end: bounds.end,
    lag_events: bounds.end - state.cursor,
    dead: state.dead,
    breaker: status?.breaker,
    retrying: status?.retrying,
    parked: status?.parked,
    last_error: status?.lastError,
    ...held,
  };
}

export function ledgerView({ tenantId, partition, sink, state, bounds }: LaneNow) {
  const lane = { stream: { tenantId, partition }, sink };
  const entry = ledgerEntry(lane, state, bounds);
  const { accepted, delivered, filtered, filteredByReason, dead, erased, pending, imbalance } = entry;
  return {
    lane: laneKey(lane),
    tenant: tenantId,
    partition,
    sink,
    accepted,
    delivered,
    filtered,
    filtered_by_reason: filteredByReason,
    dead,
    erased,
    pending,
    imbalance,
  };
}

export function laneAuditView({ lane, recounted, deadLetters, unsettledEntries, faults }: Audit) {
  const filtered = Object.values(recounted.filtered).reduce((sum, events) => sum + events, 0);
  return {
    lane: laneKey(lane),
    tenant: lane.stream.tenantId,
    partition: lane.stream.partition,
    sink: lane.sink,
    accepted: recounted.cursor - recounted.start + unsettledEntries,
    delivered: recounted.delivered,
    filtered,
    dead: deadLetters,
    erased: recounted.erased,
    pending: unsettledEntries,
    faults,
  };
}

export function configView(state: ConfigState) {
  return {
    revision: state.revision,
    applied_at: timestamp(state.appliedAt),
    origin: state.origin,
    tenants: state.tenantIds.length,
    refused: state.refused === undefined ? null : { at: timestamp(state.refused.at), problems: state.refused.problems },
  };
}

export function revisionView({ number, at, origin, by }: RevisionInfo) {
  return { number, at: timestamp(at), origin, by };
}

export function keyView(key: KeyView) {
  const at = (ms: number | undefined) => (ms === undefined ? undefined : timestamp(ms));
  return {
    id: key.id,
    origin: key.origin,
    state: key.state,
    created_at: at(key.createdAt),
    created_by: key.createdBy,
    overlap_ends_at: at(key.overlapEndsAt),
    revoked_at: at(key.revokedAt),
  };
}

export function auditView({ sequence, at, tenantId, ...entry }: AuditEntry) {
  return { id: String(sequence), at: timestamp(at), tenant: tenantId, ...entry };
}
