import { decodeEvent, encodeParts, stampReceivedAt } from "../../core/canonical/codec.ts";
import { systemClock } from "../../observability/system-clock.ts";
import { Timers } from "../timers.ts";
import { FlightFile } from "./flight-file.ts";
import { guardedDefinition } from "./guarded.ts";

/** Runs three events, one of which ends the process, through a plugin in this very thread; prints their outcomes. */
const [, , folder = ""] = process.argv;
const quiet = () => undefined;
const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet };
const url = new URL("./naughty.fixture.ts", import.meta.url).href;

const plugin = guardedDefinition({
  deps: {
    timers: new Timers(systemClock),
    random: Math.random,
    logger,
    pluginMetrics: () => ({ count: quiet, observe: quiet }),
    flights: (key) => new FlightFile(folder, key),
  },
  tenantId: "a",
  kind: "transform",
  use: { name: "naughty", config: {}, module: { source: url, url, digest: "0", version: "1.0.0" } },
}).create();
await plugin.init?.({});
const context = {
  tenantId: "a",
  logger,
  metrics: { count: quiet, observe: quiet },
  attempt: 1,
  signal: new AbortController().signal,
};
const outcomes = await Promise.all(
  ["", "exit", ""].map((what, i) => {
    const payload = Buffer.from(JSON.stringify({ do: what }));
    const bytes = encodeParts({ eventId: `e${i}`, tenantId: "a", eventType: "t", source: "http", payload });
    stampReceivedAt(bytes, 0);
    return plugin.process(decodeEvent(bytes), context);
  }),
);
console.log(JSON.stringify(outcomes.map((outcome) => (outcome.type === "ok" ? { type: "ok" } : outcome))));
