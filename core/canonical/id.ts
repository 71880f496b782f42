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
const ID_CHARS = "00000000-0000-7000-8000-000000000000".length;

export function createIds({ clock, randomFill }: IdSources): Ids {
  const random = new HexPool(randomFill);
  // An id is laid out as bytes and read at one go: put together of strings, it would be a tree of
  // them, and whoever hashes or writes it goes through that tree again.
  const id = Buffer.alloc(ID_CHARS, "-");
  let lastMs = -1;
  let counter = COUNTER_MAX;

  function startMillisecond(ms: number): void {
    lastMs = ms;
    const hex = ms.toString(16).padStart(12, "0");
    id.write(`${hex.slice(0, 8)}-${hex.slice(8)}-7`, "latin1");
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
      id[15] = hexDigit(counter >> 8);
      id[16] = hexDigit(counter >> 4);
      id[17] = hexDigit(counter);
      random.copy(id, 19, 4);
      id[19] = hexDigit(8 | ((id[19] as number) & 3));
      random.copy(id, 24, 12);
      return id.toString("latin1");
    },
    traceId() {
      const trace = random.take(32);
      return trace === NO_TRACE ? this.traceId() : trace;
    },
  };
}

const NO_TRACE = "0".repeat(32);
const HEX = Buffer.from("0123456789abcdef");

/** The character of the low four bits. */
function hexDigit(value: number): number {
  return HEX[value & 0xf] as number;
}

/** A first hex digit with the variant's two bits set (RFC 9562, 4.1). */
function variantOf(hex: string): string {
  return "89ab"[hex.charCodeAt(0) & 3] as string;
}

class HexPool {
  private readonly randomFill: (bytes: Uint8Array) => void;
  private readonly bytes = Buffer.alloc(POOL_CHARS / 2);
  private readonly hex = Buffer.alloc(POOL_CHARS);
  private used = POOL_CHARS;

  constructor(randomFill: (bytes: Uint8Array) => void) {
    this.randomFill = randomFill;
  }

  take(chars: number): string {
    this.reserve(chars);
    this.used += chars;
    return this.hex.toString("latin1", this.used - chars, this.used);
  }

  /** So few characters are copied sooner one by one. */
  copy(target: Buffer, at: number, chars: number): void {
    this.reserve(chars);
    const from = this.used;
    for (let i = 0; i < chars; i++) target[at + i] = this.hex[from + i] as number;
    this.used += chars;
  }

  private reserve(chars: number): void {
    if (this.used + chars <= POOL_CHARS) return;
    this.randomFill(this.bytes);
    this.hex.write(this.bytes.toString("hex"), "latin1");
    this.used = 0;
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
