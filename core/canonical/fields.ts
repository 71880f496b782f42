/** The top-level names that PulseGate knows, in either body form. */
export const FIELD_NAMES: readonly string[] = [
  "event_type",
  "payload",
  "event_id",
  "occurred_at",
  "timestamp",
  "trace_id",
  "idempotency_key",
  "tenant_id",
  "received_at",
  "source",
];

export const FIELD_POINTERS: readonly string[] = FIELD_NAMES.map((name) => `/${name}`);

/** Indexes into `FIELD_NAMES`. */
export const FIELD = {
  eventType: 0,
  payload: 1,
  eventId: 2,
  occurredAt: 3,
  timestamp: 4,
  traceId: 5,
  idempotencyKey: 6,
  tenantId: 7,
  receivedAt: 8,
  source: 9,
} as const;

export const FIELD_COUNT = FIELD_NAMES.length;

/** The field whose name stands between two offsets, or -1. No string is made of it. */
export function fieldOf(bytes: Uint8Array, from: number, to: number): number {
  const candidates = BY_LENGTH[to - from];
  if (candidates === undefined) return -1;
  for (const candidate of candidates) if (nameStandsAt(bytes, from, candidate.name)) return candidate.field;
  return -1;
}

interface Candidate {
  readonly field: number;
  readonly name: Uint8Array;
}

const BY_LENGTH: Array<Candidate[] | undefined> = byLength();

function byLength(): Array<Candidate[] | undefined> {
  const lists = new Array<Candidate[] | undefined>(Math.max(...FIELD_NAMES.map((name) => name.length)) + 1).fill(
    undefined,
  );
  for (const [field, name] of FIELD_NAMES.entries()) {
    const list = lists[name.length] ?? [];
    list.push({ field, name: Buffer.from(name) });
    lists[name.length] = list;
  }
  return lists;
}

function nameStandsAt(bytes: Uint8Array, from: number, name: Uint8Array): boolean {
  for (let i = 0; i < name.length; i++) if (bytes[from + i] !== name[i]) return false;
  return true;
}
