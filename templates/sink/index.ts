import {
  type CanonicalEvent,
  definePlugin,
  encodeEvent,
  type PluginContext,
  type SinkOutcome,
  type SinkPlugin,
} from "pulsegate/plugin";
import { type Config, config } from "./config.ts";

const NAME = "my_sink";
const VERSION = "0.1.0";

export default definePlugin({
  kind: "sink",
  name: NAME,
  version: VERSION,
  summary: "Posts events to a collector, one JSON line for each",
  config,
  create: () => new Sink(),
});

class Sink implements SinkPlugin {
  readonly name = NAME;
  readonly version = VERSION;
  #config: Config = { url: "", token: undefined };
  readonly #running = new Set<Promise<unknown>>();

  async init(options: unknown): Promise<void> {
    this.#config = options as Config;
  }

  async send(event: CanonicalEvent, ctx: PluginContext): Promise<SinkOutcome> {
    const [outcome] = await this.sendBatch([event], ctx);
    return outcome as SinkOutcome;
  }

  async sendBatch(events: readonly CanonicalEvent[], ctx: PluginContext): Promise<readonly SinkOutcome[]> {
    const delivery = this.#post(events, ctx.signal);
    this.#running.add(delivery);
    const outcome = await delivery;
    this.#running.delete(delivery);
    return events.map(() => outcome);
  }

  async #post(events: readonly CanonicalEvent[], signal: AbortSignal): Promise<SinkOutcome> {
    const lines = events.flatMap((event) => [encodeEvent(event), NEWLINE]);
    try {
      const response = await fetch(this.#config.url, {
        method: "POST",
        headers: this.#headers(),
        body: Buffer.concat(lines),
        redirect: "error",
        signal,
      });
      return outcomeOf(response.status, (await response.text()).slice(0, 4096));
    } catch (error) {
      // Not reached, or cancelled at the deadline: no fault of an event's, so none loses an attempt.
      return { type: "retry", code: "unreachable", reason: String(error), unavailable: true };
    }
  }

  #headers(): Record<string, string> {
    const { token } = this.#config;
    const type = { "content-type": "application/x-ndjson" };
    return token === undefined ? type : { ...type, authorization: `Bearer ${token}` };
  }

  /** The connection test: an empty batch. */
  async check(signal: AbortSignal): Promise<void> {
    const outcome = await this.#post([], signal);
    if (outcome.type !== "ok") throw new Error(outcome.reason);
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#running);
  }
}

const NEWLINE = Buffer.from("\n");

/** Decide by codes, never by words: which failures are nobody's, which will pass, which never will. */
function outcomeOf(status: number, response: string): SinkOutcome {
  const code = String(status);
  if (status >= 200 && status < 300) return { type: "ok" };
  const reason = `the collector answered ${status}`;
  // A wrong token or address is the operator's to mend: nothing is given up for it.
  if ([401, 403, 404, 429].includes(status) || status >= 500) return { type: "retry", code, reason, unavailable: true };
  if (status === 408) return { type: "retry", code, reason };
  return { type: "error", code, reason, response };
}
