import { decodeEvent, encodeParts, stampReceivedAt } from "../../core/canonical/codec.ts";
import type { CanonicalEvent } from "../../plugins/contract.ts";

export function eventsOf(count: number): CanonicalEvent[] {
  return Array.from({ length: count }, (_, i) => eventOf(i + 1));
}

/** As the pipeline hands it over: decoded from canonical bytes. */
export function eventOf(
  n: number,
  payload = `{"n":${n}}`,
  changes: { eventId?: string; occurredAt?: string } = {},
): CanonicalEvent {
  const bytes = encodeParts({
    eventId: `event-${n}`,
    tenantId: "tenant_shop_1",
    eventType: "order_paid",
    source: "http",
    traceId: n % 2 === 0 ? "0af7651916cd43dd8448eb211c80319c" : undefined,
    payload: Buffer.from(payload),
    ...changes,
  });
  stampReceivedAt(bytes, Date.UTC(2026, 10, 24, 12) + n);
  return decodeEvent(bytes);
}
