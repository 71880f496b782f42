import { appendFileSync, existsSync } from "node:fs";
import { type AttachedLog, attachEmbeddedLog, type EmbeddedLogHandle } from "../../drivers/embedded/index.ts";
import type { PluginDefinition, SinkOutcome } from "../../plugins/contract.ts";
import { serveWorker } from "../../workers/serve.ts";

/**
 * A worker thread with a sink whose moods are files, so that a test on another thread can set them:
 * it writes each event's id to `<folder>/out`, is out while `<folder>/out-of-order` exists, hangs
 * while `<folder>/hangs` does, and ends the thread at an event named `kill…` once.
 */
interface MoodyConfig {
  readonly folder: string;
}

const moody: PluginDefinition = {
  kind: "sink",
  name: "moody",
  version: "1.0.0",
  summary: "Does what files say",
  create() {
    let folder = "";
    return {
      name: "moody",
      version: "1.0.0",
      init: async (config) => {
        folder = (config as MoodyConfig).folder;
      },
      send: async () => ({ type: "error", reason: "not used" }),
      sendBatch: async (events, ctx): Promise<SinkOutcome[]> => {
        if (existsSync(`${folder}/hangs`))
          await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve));
        if (existsSync(`${folder}/out-of-order`)) {
          return events.map(() => ({ type: "retry", reason: "out of order", code: "OUT", unavailable: true }));
        }
        if (events.some(({ event_id }) => event_id.startsWith("kill")) && !existsSync(`${folder}/killed`)) {
          appendFileSync(`${folder}/killed`, "");
          throwLater();
          await new Promise(() => undefined);
        }
        if (events.some(({ event_id }) => event_id.startsWith("stray")))
          void Promise.reject(new Error("a stray rejection"));
        ctx.metrics.count("written", events.length);
        appendFileSync(`${folder}/out`, events.map(({ event_id }) => `${event_id}\n`).join(""));
        return events.map(() => ({ type: "ok" }));
      },
    };
  },
};

/** An exception outside of any call: the thread dies of it. */
function throwLater(): void {
  setImmediate(() => {
    throw new Error("a bug in a plugin");
  });
}

await serveWorker({
  attach: (handle): Promise<AttachedLog> => attachEmbeddedLog(handle as EmbeddedLogHandle),
  findPlugin: (name) => (name === "moody" ? moody : undefined),
});
