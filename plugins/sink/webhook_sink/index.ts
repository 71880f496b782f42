import { readFile } from "node:fs/promises";
import { performance } from "node:perf_hooks";
import { Agent } from "undici";
import {
  type CanonicalEvent,
  definePlugin,
  encodeEvent,
  type PluginContext,
  payloadJson,
  type SinkOutcome,
  type SinkPlugin,
} from "../../contract.ts";
import { allowedBy } from "./addresses.ts";
import { type Config, config } from "./config.ts";
import { guardedConnector } from "./connector.ts";
import { type Answer, exchange } from "./exchange.ts";
import { Gate } from "./gate.ts";
import { judge, outcomeOfFailure } from "./outcome.ts";
import { type Message, signer, webhookId } from "./sign.ts";

const NAME = "webhook_sink";
const VERSION = "1.0.0";
/** A call starts requests for so long; what is left over goes with the next. With the timeout it stays below the pipeline's deadline. */
const SENDING_MS = 5_000;
/** Nothing changes until the configuration does. The pipeline takes no longer pause. */
const GONE_PAUSE_MS = 3_600_000;

export default definePlugin({
  kind: "sink",
  name: NAME,
  version: VERSION,
  summary: "POSTs each event to an HTTPS endpoint, signed as Standard Webhooks has it",
  config,
  create: () => new WebhookSink(),
});

/** One call of `sendBatch`. */
interface Call {
  readonly events: readonly CanonicalEvent[];
  readonly ctx: PluginContext;
  readonly outcomes: (SinkOutcome | undefined)[];
  readonly until: number;
  next: number;
  /** Why no more is sent in this call. */
  stop: SinkOutcome & { type: "retry" };
  stopped: boolean;
}

class WebhookSink implements SinkPlugin {
  readonly name = NAME;
  readonly version = VERSION;
  #config!: Config;
  #url!: URL;
  #agent!: Agent;
  #gate!: Gate;
  #sign!: (message: Message) => string;
  /** Set for good once the endpoint has answered 410. */
  #gone: (SinkOutcome & { type: "retry" }) | undefined;
  #closing: Promise<void> | undefined;
  readonly #running = new Set<Promise<unknown>>();

  /** Opens no connection: an endpoint that is down at the start is an outage like any other. */
  async init(options: unknown): Promise<void> {
    this.#config = options as Config;
    const { url, secrets, concurrency, timeout_ms: timeoutMs, allow, ca_file: caFile } = this.#config;
    const ca = caFile === undefined ? undefined : await readFile(caFile, "utf8");
    this.#url = new URL(url);
    this.#sign = signer(secrets);
    this.#gate = new Gate(concurrency);
    // One clock for the whole exchange is ours (exchange.ts); undici's own, one for each part, are off.
    this.#agent = new Agent({
      connect: guardedConnector({ allowed: allowedBy(allow), timeoutMs, ca }),
      connections: concurrency,
      headersTimeout: 0,
      bodyTimeout: 0,
      allowH2: false,
    });
  }

  async send(event: CanonicalEvent, ctx: PluginContext): Promise<SinkOutcome> {
    const [outcome] = await this.sendBatch([event], ctx);
    return outcome as SinkOutcome;
  }

  async sendBatch(events: readonly CanonicalEvent[], ctx: PluginContext): Promise<readonly SinkOutcome[]> {
    const delivery = this.#deliver(events, ctx);
    this.#running.add(delivery);
    try {
      return await delivery;
    } finally {
      this.#running.delete(delivery);
    }
  }

  async #deliver(events: readonly CanonicalEvent[], ctx: PluginContext): Promise<readonly SinkOutcome[]> {
    const outcomes = events.map((): SinkOutcome | undefined => undefined);
    const until = performance.now() + SENDING_MS;
    const call: Call = { events, ctx, outcomes, until, next: 0, stop: OUT_OF_TIME, stopped: false };
    const senders = Math.min(this.#config.concurrency, events.length);
    await Promise.all(Array.from({ length: senders }, () => this.#sender(call)));
    return outcomes.map((outcome) => outcome ?? { ...call.stop, untried: true });
  }

  /** Sends one event after another for as long as it makes sense. */
  async #sender(call: Call): Promise<void> {
    for (;;) {
      await this.#gate.enter();
      try {
        if (call.next >= call.events.length || this.#mustStop(call)) return;
        const index = call.next++;
        const outcome = await this.#sendOne(call.events[index] as CanonicalEvent, call.ctx);
        call.outcomes[index] = outcome;
        // The endpoint is out: the others would only be told the same.
        if (outcome.type === "retry" && outcome.unavailable === true) stop(call, outcome);
      } finally {
        this.#gate.leave();
      }
    }
  }

  #mustStop(call: Call): boolean {
    const { pausedMs } = this.#gate;
    if (this.#gone !== undefined) stop(call, this.#gone);
    else if (call.ctx.signal.aborted) stop(call, CANCELLED);
    else if (pausedMs > 0) stop(call, { ...PAUSED, retryAfterMs: Math.ceil(pausedMs) });
    return call.stopped || performance.now() >= call.until;
  }

  async #sendOne(event: CanonicalEvent, ctx: PluginContext): Promise<SinkOutcome> {
    const sentAt = performance.now();
    try {
      const answer = await this.#post(event, ctx.signal);
      const { outcome, throttle, gone } = judge(answer, Date.now());
      if (gone) return this.#end(ctx, outcome);
      if (throttle) {
        const pauseMs = outcome.type === "retry" ? outcome.retryAfterMs : undefined;
        this.#gate.slowDown({ sentAt, pauseMs });
        ctx.metrics.count("throttled_total");
      } else if (outcome.type === "ok") this.#gate.taken();
      return outcome;
    } catch (error) {
      return outcomeOfFailure(error);
    }
  }

  #post(event: CanonicalEvent, signal: AbortSignal): Promise<Answer> {
    const { body: form, headers, timeout_ms: timeoutMs } = this.#config;
    const body = form === "payload" ? payloadJson(event) : encodeEvent(event);
    const id = webhookId(event.event_id);
    const timestampSecs = Math.floor(Date.now() / 1_000);
    const signature = this.#sign({ id, timestampSecs, body });
    return exchange({
      agent: this.#agent,
      url: this.#url,
      method: "POST",
      headers: {
        "user-agent": USER_AGENT,
        ...headers,
        "content-type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": String(timestampSecs),
        "webhook-signature": signature,
      },
      body,
      timeoutMs,
      signal,
    });
  }

  /** 410: the receiver wants no more. Its events wait, none is lost; a changed configuration makes a new instance. */
  #end(ctx: PluginContext, outcome: SinkOutcome): SinkOutcome {
    if (this.#gone === undefined) {
      ctx.metrics.count("disabled_total");
      ctx.logger.error(
        { code: GONE.code },
        "the endpoint is gone and disabled; its lane waits for a new configuration",
      );
    }
    this.#gone = GONE;
    return { ...outcome, ...GONE };
  }

  /** Asks what the endpoint offers, which changes nothing there; any answer but an outage's will do. */
  async check(signal: AbortSignal): Promise<void> {
    const { headers, timeout_ms: timeoutMs } = this.#config;
    const { status } = await exchange({
      agent: this.#agent,
      url: this.#url,
      method: "OPTIONS",
      headers: { "user-agent": USER_AGENT, ...headers },
      timeoutMs,
      signal,
    });
    if (status === 410 || status >= 502) throw new Error(`the endpoint answered ${status}`);
  }

  /** Waits for what is being delivered; bounded, because each request is. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#running);
    this.#closing ??= this.#agent?.close();
    await this.#closing;
  }
}

const USER_AGENT = `pulsegate-webhook/${VERSION}`;

const GONE = {
  type: "retry",
  code: "410",
  reason: "the endpoint answered 410 Gone and is disabled until the sink's configuration changes",
  unavailable: true,
  retryAfterMs: GONE_PAUSE_MS,
} as const;
const CANCELLED = { type: "retry", code: "aborted", reason: "the delivery was cancelled", unavailable: true } as const;
const PAUSED = {
  type: "retry",
  code: "throttled",
  reason: "the endpoint asked for a pause",
  unavailable: true,
} as const;
const OUT_OF_TIME = { type: "retry", code: "out_of_time", reason: "no time was left to send it" } as const;

function stop(call: Call, why: SinkOutcome & { type: "retry" }): void {
  if (call.stopped) return;
  call.stopped = true;
  const { response: _, ...shared } = why;
  call.stop = shared;
}
