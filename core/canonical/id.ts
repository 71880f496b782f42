import { hash } from "node:crypto";
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

/** Random hex digits that are made at one go. */
const POOL_CHARS = 16 * 1024;
/** How far the clock may step back before ids follow it: until then they go on rising. */
const ROLLBACK_MS_MAX = 10_000;
const COUNTER_MAX = 0xfff;
const COUNTERS = Array.from({ length: COUNTER_MAX + 1 }, (_, n) => n.toString(16).padStart(3, "0"));

export function createIds({ clock, randomFill }: IdSources): Ids {
  const random = new HexPool(randomFill);
  let lastMs = -1;
  let counter = COUNTER_MAX;
  /** `time-time-7`, the same for all ids of one millisecond. */
  let prefix = "";

  function startMillisecond(ms: number): void {
    lastMs = ms;
    const hex = ms.toString(16).padStart(12, "0");
    prefix = `${hex.slice(0, 8)}-${hex.slice(8)}-7`;
    // Half of the counter is left to count in; beyond it the next millisecond is borrowed.
    counter = Number.parseInt(random.take(3), 16) >> 1;
  }

  return {
    // RFC 9562, 5.7 with a counter in rand_a (6.2, method 1): ids of one process rise.
    eventId() {
      const now = clock.now();
      if (now > lastMs || now < lastMs - ROLLBACK_MS_MAX) startMillisecond(now);
      else if (counter === COUNTER_MAX) startMillisecond(lastMs + 1);
      else counter++;
      const tail = random.take(16);
      return `${prefix}${COUNTERS[counter]}-${variantOf(tail)}${tail.slice(1, 4)}-${tail.slice(4)}`;
    },
    traceId() {
      const id = random.take(32);
      return id === NO_TRACE ? this.traceId() : id;
    },
  };
}

const NO_TRACE = "0".repeat(32);

/** A first hex digit with the variant's two bits set (RFC 9562, 4.1). */
function variantOf(hex: string): string {
  return "89ab"[hex.charCodeAt(0) & 3] as string;
}

class HexPool {
  private readonly randomFill: (bytes: Uint8Array) => void;
  private readonly bytes = Buffer.alloc(POOL_CHARS / 2);
  private hex = "";
  private used = POOL_CHARS;

  constructor(randomFill: (bytes: Uint8Array) => void) {
    this.randomFill = randomFill;
  }

  take(chars: number): string {
    if (this.used + chars > POOL_CHARS) {
      this.randomFill(this.bytes);
      this.hex = this.bytes.toString("hex");
      this.used = 0;
    }
    this.used += chars;
    return this.hex.slice(this.used - chars, this.used);
  }
}

/**
 * The event id of an event that came with an idempotency key and no id: a UUIDv8 made of SHA-256
 * over tenant and key. So a repeat gets the same id, and the same partition, wherever it arrives.
 */
export function derivedEventId(tenantId: string, idempotencyKey: string): string {
  // Neither tenant nor key can hold a NUL, so no two pairs give one text.
  const hex = hash("sha256", `pulsegate:event-id:1\0${tenantId}\0${idempotencyKey}`, "hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variantOf(hex.slice(16))}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
