import type pg from "pg";
import { quantile, round } from "./stats.ts";

export interface LatencyOptions {
  /** Of one event's POST; takes the event's id. */
  readonly post: (eventId: string) => Promise<void>;
  readonly pool: pg.Pool;
  /** POSTs per second, on schedule. */
  readonly rate: number;
  readonly seconds: number;
}

const ARRIVED = "SELECT event_id FROM events_raw WHERE tenant_id = 'bench' AND event_id = ANY($1::text[])";

/** From the start of a POST until another session sees the row, in milliseconds, at a light, even load. */
export async function rowLatency({ post, pool, rate, seconds }: LatencyOptions): Promise<unknown> {
  const startedAt = new Map<string, number>();
  const times: number[] = [];
  const sent = new AbortController();
  const watching = watch(sent.signal);
  const posts: Promise<void>[] = [];
  const begun = performance.now();
  for (let n = 0; n < rate * seconds; n++) {
    while (performance.now() < begun + (n * 1000) / rate) await new Promise((resolve) => setTimeout(resolve, 1));
    const eventId = crypto.randomUUID();
    startedAt.set(eventId, performance.now());
    posts.push(post(eventId));
  }
  await Promise.all(posts);
  sent.abort();
  await watching;
  const [p50Ms, p99Ms] = [0.5, 0.99].map((q) => round(quantile(times, q)));
  return { ratePerSecond: rate, events: times.length, p50Ms, p99Ms };

  /** Asks again and again; an answer is as old as its question, so times are rather too long than too short. */
  async function watch(allSent: AbortSignal): Promise<void> {
    while (!allSent.aborted || startedAt.size > 0) {
      const { rows } = await pool.query<{ event_id: string }>({
        name: "arrived",
        text: ARRIVED,
        values: [[...startedAt.keys()]],
      });
      const now = performance.now();
      for (const { event_id } of rows) {
        times.push(now - (startedAt.get(event_id) ?? now));
        startedAt.delete(event_id);
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
}
