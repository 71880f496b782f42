import { Agent } from "node:http";
import type { Overloaded } from "./messages.ts";
import { type Door, post } from "./sender.ts";

const CONNECTIONS_EACH = 16;
/** Small, so that what one tenant has is not a matter of a few batches more or less. */
const BATCH_EVENTS = 20;
const EVENT_BYTES = 1_024;
/** Connections and compiled code come first; what counts begins after it. */
const WARM_UP_MS = 1_000;
/** After a refusal, as a client that is told to wait. */
const PAUSE_MS = 20;

/** Every door is sent as much as it takes for so long: batches on several connections, the next when the last is answered. */
export async function overload(doors: readonly Door[], ms: number): Promise<Overloaded> {
  const body = batch();
  const from = performance.now() + WARM_UP_MS;
  const until = from + ms;
  const agent = new Agent({ keepAlive: true, maxSockets: doors.length * CONNECTIONS_EACH });
  let refused = 0;
  const sums = doors.map(() => 0);
  const connection = async (door: Door, at: number): Promise<void> => {
    while (performance.now() < until) {
      const status = await post({ ...door, body, agent, path: "/v1/events/batch", type: "application/x-ndjson" });
      const counts = performance.now() >= from && performance.now() < until;
      if (status === 202) sums[at] = (sums[at] as number) + (counts ? BATCH_EVENTS : 0);
      else {
        refused += counts ? 1 : 0;
        await new Promise((paused) => setTimeout(paused, PAUSE_MS));
      }
    }
  };
  await Promise.all(doors.flatMap((door, at) => Array.from({ length: CONNECTIONS_EACH }, () => connection(door, at))));
  agent.destroy();
  return { accepted: sums, refused };
}

function batch(): string {
  const line = JSON.stringify({ event_type: "trial", payload: { fill: "x".repeat(EVENT_BYTES - 60) } });
  return `${line}\n`.repeat(BATCH_EVENTS);
}
