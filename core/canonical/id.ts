import { hash } from "node:crypto";
import { V7Generator } from "uuidv7";
import type { Clock } from "../environment.ts";

/** Makes the ids that a client did not give. */
export interface Ids {
  /** A fresh UUIDv7. */
  eventId(): string;
  /** 32 lower-case hex digits, never all zero (W3C trace context). */
  traceId(): string;
}

export interface IdSources {
  readonly clock: Pick<Clock, "now">;
  /** Fills the array from a cryptographic source. */
  readonly randomFill: (bytes: Uint8Array) => void;
}

const POOL_BYTES = 4096;
const TRACE_ID_BYTES = 16;

export function createIds({ clock, randomFill }: IdSources): Ids {
  const pool = Buffer.alloc(POOL_BYTES);
  let used = POOL_BYTES;

  function take(count: number): number {
    if (used + count > POOL_BYTES) {
      randomFill(pool);
      used = 0;
    }
    used += count;
    return used - count;
  }

  const generator = new V7Generator({ nextUint32: () => pool.readUInt32LE(take(4)) });

  return {
    eventId: () => generator.generateOrResetWithTs(clock.now()).toString(),
    traceId() {
      const at = take(TRACE_ID_BYTES);
      const id = pool.toString("hex", at, at + TRACE_ID_BYTES);
      return id === "00000000000000000000000000000000" ? this.traceId() : id;
    },
  };
}

/**
 * The event id of an event that came with an idempotency key and no id: a UUIDv8 made of SHA-256
 * over tenant and key. So a repeat gets the same id, and the same partition, wherever it arrives.
 */
export function derivedEventId(tenantId: string, idempotencyKey: string): string {
  // Neither tenant nor key can hold a NUL, so no two pairs give one text.
  const hex = hash("sha256", `pulsegate:event-id:1\0${tenantId}\0${idempotencyKey}`, "hex");
  const variant = ((Number.parseInt(hex[16] as string, 16) & 0x3) | 0x8).toString(16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
