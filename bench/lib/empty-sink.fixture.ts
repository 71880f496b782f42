import { setTimeout as pause } from "node:timers/promises";
import { z } from "zod";
import { definePlugin, type SinkOutcome } from "../../plugins/contract.ts";

const config = z.strictObject({ latency_ms: z.number().min(0).default(0) });
const DELIVERED: SinkOutcome = { type: "ok" };

/** Takes everything and keeps nothing, after so long: what is left is what delivering costs by itself. */
export default definePlugin({
  kind: "sink",
  name: "empty_sink",
  version: "1.0.0",
  summary: "Takes everything, keeps nothing.",
  config,
  create() {
    let latencyMs = 0;
    return {
      name: "empty_sink",
      version: "1.0.0",
      async init(given) {
        latencyMs = config.parse(given).latency_ms;
      },
      async send() {
        if (latencyMs > 0) await pause(latencyMs);
        return DELIVERED;
      },
      async sendBatch(events) {
        if (latencyMs > 0) await pause(latencyMs);
        return events.map(() => DELIVERED);
      },
    };
  },
});
