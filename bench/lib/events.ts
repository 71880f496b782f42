/** Bodies of stated sizes that look like what people send: nested, numbers, text, some non-ASCII. */
export function eventJson(bytes: number, n = 0): string {
  const event = {
    event_type: "order_paid",
    user_id: `u_${n}`,
    amount: 1299.5,
    currency: "EUR",
    items: [{ sku: "A-1", quantity: 2, price: 649.75 }],
    city: "Hà Nội",
    timestamp: "2025-03-01T12:00:00Z",
    note: "",
  };
  const missing = bytes - Buffer.byteLength(JSON.stringify(event));
  event.note = FILLER.repeat(Math.ceil(Math.max(0, missing) / FILLER.length)).slice(0, Math.max(0, missing));
  return JSON.stringify(event);
}

const FILLER = "the quick brown fox jumps over the lazy dog ";

export function ndjson(events: number, bytesEach: number): string {
  return Array.from({ length: events }, (_, n) => `${eventJson(bytesEach, n)}\n`).join("");
}
