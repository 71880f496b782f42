import { decodeEvent, encodeParts, stampReceivedAt } from "../../core/canonical/codec.ts";
import type { CanonicalEvent, PluginContext } from "../contract.ts";

const RECEIVED_AT_MS = Date.UTC(2025, 2, 1, 12);

/** An event as the pipeline hands it over: decoded from canonical bytes. `payload` may be JSON text. */
export function eventOf(
  payload: Readonly<Record<string, unknown>> | string = {},
  head: EventHead = {},
): CanonicalEvent {
  const {
    eventId = "event-1",
    eventType = "order_paid",
    tenantId = "tenant_shop_1",
    receivedAtMs = RECEIVED_AT_MS,
  } = head;
  const text = typeof payload === "string" ? payload : JSON.stringify(payload);
  const bytes = encodeParts({ eventId, eventType, tenantId, source: "http", payload: Buffer.from(text) });
  stampReceivedAt(bytes, receivedAtMs);
  return decodeEvent(bytes);
}

export interface EventHead {
  readonly eventId?: string;
  readonly eventType?: string;
  readonly tenantId?: string;
  readonly receivedAtMs?: number;
}

/** So many events, `event-1` on, with payloads `{"n":1}` on, received a millisecond apart. */
export function eventsOf(count: number): CanonicalEvent[] {
  return Array.from({ length: count }, (_, i) =>
    eventOf({ n: i + 1 }, { eventId: `event-${i + 1}`, receivedAtMs: RECEIVED_AT_MS + i + 1 }),
  );
}

/** A context whose logs and metrics go nowhere. */
export function contextOf(signal: AbortSignal = new AbortController().signal): PluginContext {
  const quiet = () => undefined;
  const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet };
  return { tenantId: "tenant_shop_1", logger, metrics: { count: quiet, observe: quiet }, attempt: 1, signal };
}
