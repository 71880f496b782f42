import { expect } from "vitest";
import { encodeParts } from "../../core/canonical/codec.ts";
import { slotOf } from "../../core/ingestion/log.ts";
import type { LaneId, Stream } from "../../core/ingestion/log.ts";
import type { MemoryLog } from "../../drivers/memory/index.ts";

const STREAM: Stream = { tenantId: "shop", partition: 0 };
const LANE: LaneId = { stream: STREAM, sink: "raw" };
/** With a number that a parse would lose, and a character that most would spell otherwise. */
export const PAYLOAD = '{"big":9007199254740993,"text":"\\u0000"}';

/** Three events: one delivered, one dead, one pending. */
export async function threeFates(log: MemoryLog): Promise<void> {
  await log.openLane(LANE, "start");
  for (const eventId of ["a", "b/1", "c"]) {
    const bytes = encodeParts({
      eventId,
      tenantId: "shop",
      eventType: "order_paid",
      source: "http",
      payload: Buffer.from(PAYLOAD),
    });
    await log.append([{ stream: STREAM, eventId, bytes }]);
  }
  const entries = await log.read(STREAM, 0, { entries: 10, bytes: 1e6 });
  const claims = await log.claims("w");
  const stop = new AbortController();
  for await (const held of claims.held(stop.signal)) {
    const claim = held.find((one) => one.slot === slotOf(STREAM));
    if (claim === undefined) continue;
    const dead = entries[1];
    const [result] = await log.commit([
      {
        lane: LANE,
        claim,
        settlement: {
          from: 0,
          to: 2,
          exceptions: [{ from: 1, to: 2, outcome: "dead" }],
          configRevision: 7,
          settledAt: 1_000,
        },
        deadLetters: [
          {
            lane: LANE,
            sequence: 1,
            eventId: "b/1",
            eventType: "order_paid",
            receivedAt: dead?.receivedAt ?? 0,
            diedAt: 1_000,
            stage: "sink postgres_sink",
            code: "23514",
            message: "violates a check",
            response: "row refused",
            fingerprint: "0011223344556677",
            attempts: [{ at: 900, reason: "violates a check" }],
            configRevision: 7,
            plugins: { postgres_sink: "1.0.0" },
            bytes: dead?.bytes ?? Buffer.alloc(0),
          },
        ],
      },
    ]);
    expect(result?.status).toBe("fulfilled");
    break;
  }
  stop.abort();
}
