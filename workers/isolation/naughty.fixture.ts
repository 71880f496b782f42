import { parentPort } from "node:worker_threads";
import { BatchRejected, type CanonicalEvent, definePlugin, type SinkOutcome } from "../../plugins/contract.ts";

const hoard: Buffer[] = [];

/** Does to its thread or process what the event's `do` says. */
async function misbehave({ payload }: CanonicalEvent): Promise<void> {
  switch (payload["do"]) {
    case "loop":
      for (;;);
    case "exit":
      return process.exit(3);
    case "abort":
      return process.abort();
    case "reject":
      void Promise.reject(new Error("nobody listens"));
      return new Promise(() => undefined);
    case "allocate":
      for (let gib = 0; gib < 4; gib++) hoard.push(Buffer.alloc(2 ** 30, 1));
      return;
    case "heap": {
      const rows: number[][] = [];
      for (;;) rows.push(Array.from({ length: 100_000 }, Math.random));
    }
    case "never":
      return new Promise(() => undefined);
    case "hoard":
      setInterval(() => hoard.push(Buffer.alloc(2 ** 24, 1)), 5);
      return;
    case "send":
      process.send?.(null);
      parentPort?.postMessage(null);
      return;
    case "throw":
      throw Object.assign(new Error("a plain error"), { code: "E_PLAIN" });
  }
}

export default definePlugin({
  kind: "transform",
  name: "naughty",
  version: "1.0.0",
  summary: "Misbehaves on request.",
  create: () => ({
    name: "naughty",
    version: "1.0.0",
    async process(event, ctx) {
      await misbehave(event);
      ctx.metrics.count("seen");
      if (event.payload["do"] === "drop") return { type: "drop", reason: "not wanted" };
      if (event.payload["do"] === "nothing") return undefined as never;
      if (event.payload["do"] === "unsaid") return { type: "drop" } as never;
      if (event.payload["do"] === "list") return { type: "ok", event: { ...event, payload: [1] as never } };
      if (event.payload["do"] === "chatter") {
        for (let line = 0; line < 5_000; line++) ctx.logger.info({ line, long: "x".repeat(line) }, "line");
        ctx.logger.info({ long: "x".repeat(1e6) }, "y".repeat(1e6));
      }
      if (event.payload["do"] === "environment")
        return { type: "ok", event: { ...event, payload: { names: Object.keys(process.env) } } };
      if (event.payload["do"] === "swell")
        return { type: "ok", event: { ...event, payload: { a: "x".repeat(2 ** 21) } } };
      if (event.payload["do"] === "change") {
        const { attempt, replayId: replay } = ctx;
        return { type: "ok", event: { ...event, payload: { ...event.payload, pid: process.pid, attempt, replay } } };
      }
      return { type: "ok", event };
    },
  }),
});

/** The same as a sink; `refuse` is a batch that the target refused. */
export const naughtySink = definePlugin({
  kind: "sink",
  name: "naughty_sink",
  version: "1.0.0",
  summary: "Misbehaves on request.",
  create: () => ({
    name: "naughty_sink",
    version: "1.0.0",
    send: async () => ({ type: "error", reason: "not used" }),
    async sendBatch(events): Promise<SinkOutcome[]> {
      if (events.some(({ payload }) => payload["do"] === "refuse")) throw new BatchRejected("E_REFUSED", "a bad row");
      for (const event of events) await misbehave(event);
      return events.map(() => ({ type: "ok" }));
    },
  }),
});
