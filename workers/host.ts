import type { Logger } from "../core/environment.ts";
import { fullJitterMs } from "../core/qps/backoff.ts";
import type { PluginContext, PluginDefinition, PluginMetrics } from "../plugins/contract.ts";
import { boundLogger } from "./bound-logger.ts";
import { type CallEnd, Calls } from "./call.ts";
import type { LaneError, PluginDeps } from "./deps.ts";
import { errorCode, errorText } from "./text.ts";

const RESTART_MIN_MS = 100;
const RESTART_MAX_MS = 2_000;

interface Instance {
  /** False while it is being started again; absent: always up. Calls are taken all the same. */
  readonly isUp?: boolean;
  /** Set by the host: it is up again. */
  onBack?: (() => void) | undefined;
  init?(config: unknown): Promise<void>;
  close?(): Promise<void>;
}

export interface HostOptions<P extends Instance> {
  readonly deps: PluginDeps;
  readonly definition: Pick<PluginDefinition, "kind" | "name" | "version"> & { create(): P };
  readonly config: unknown;
  readonly tenantId: string;
  readonly sink?: string;
  readonly timeoutMs: number;
  /** Whether an instance has the methods that its kind promises. */
  readonly isComplete: (instance: P) => boolean;
  readonly onReady: () => void;
}

/** One instance of a plugin: made, initialised until that succeeds, closed. */
export class PluginHost<P extends Instance> {
  readonly #options: HostOptions<P>;
  readonly #calls: Calls;
  readonly #logger: Logger;
  readonly #metrics: PluginMetrics;
  #instance: P | undefined;
  #lastError: LaneError | undefined;
  #closed = false;

  constructor(options: HostOptions<P>) {
    const { deps, definition, tenantId, sink } = options;
    this.#options = options;
    this.#calls = new Calls(deps.timers);
    this.#metrics = deps.pluginMetrics(definition.name);
    const fields = { tenant_id: tenantId, plugin: definition.name, ...(sink === undefined ? {} : { sink }) };
    this.#logger = boundLogger(deps.logger, fields);
  }

  get name(): string {
    return this.#options.definition.name;
  }

  get version(): string {
    return this.#options.definition.version;
  }

  /** `name@version`, for messages. */
  get label(): string {
    return `${this.name}@${this.version}`;
  }

  get stage(): string {
    return `${this.#options.definition.kind} ${this.name}`;
  }

  /** Undefined until it is ready for traffic. */
  get instance(): P | undefined {
    return this.#instance;
  }

  /** Whether it is worth handing it work: it is ready, and not being started again after a death. */
  get isUp(): boolean {
    return this.#instance !== undefined && this.#instance.isUp !== false;
  }

  get logger(): Logger {
    return this.#logger;
  }

  get lastError(): LaneError | undefined {
    return this.#lastError;
  }

  context(call: Pick<PluginContext, "attempt" | "signal" | "replayId">): PluginContext {
    return { tenantId: this.#options.tenantId, logger: this.#logger, metrics: this.#metrics, ...call };
  }

  /** Makes and initialises instances until one is ready: a target that is down at start comes up later. */
  async start(): Promise<void> {
    const { deps, onReady } = this.#options;
    for (let attempt = 1; !this.#closed; attempt++) {
      if (await this.#tryOnce()) return onReady();
      const delayMs = fullJitterMs({ attempt, minMs: RESTART_MIN_MS, maxMs: RESTART_MAX_MS, random: deps.random });
      await deps.timers.pause(delayMs);
    }
  }

  /** Ends the plugin; waits for its `close` up to the deadline, and never rejects. */
  async close(timeoutMs: number): Promise<void> {
    this.#closed = true;
    this.#calls.abort();
    const instance = this.#instance;
    this.#instance = undefined;
    if (instance !== undefined) await this.#closeInstance(instance, timeoutMs);
  }

  async #tryOnce(): Promise<boolean> {
    const { definition, config, timeoutMs, isComplete } = this.#options;
    let made: P | undefined;
    const end = await this.#calls.run(timeoutMs, async () => {
      made = definition.create();
      if (!isComplete(made)) throw new TypeError(`the instance lacks a method that a ${definition.kind} must have`);
      await made.init?.(config);
    });
    if (end.type === "value" && !this.#closed) {
      this.#instance = made;
      if (made?.isUp !== undefined) made.onBack = this.#options.onReady;
      this.#lastError = undefined;
      return true;
    }
    if (made !== undefined) void this.#closeInstance(made, timeoutMs);
    if (!this.#closed) this.#report(end);
    return false;
  }

  async #closeInstance(instance: P, timeoutMs: number): Promise<void> {
    const end = await new Calls(this.#options.deps.timers).run(timeoutMs, () => instance.close?.());
    if (end.type === "value") return;
    this.#logger.warn({ plugin_version: this.version, reason: endText(end) }, "plugin did not close");
  }

  #report(end: CallEnd<void>): void {
    const message = `${this.label} did not start: ${endText(end)}`;
    const isNew = this.#lastError?.message !== message;
    const code = end.type === "threw" ? errorCode(end.error) : "timeout";
    this.#lastError = { at: this.#options.deps.timers.clock.now(), stage: this.stage, code, message };
    // A target that stays down would fill the log with one and the same line.
    if (isNew)
      this.#logger.error(
        { plugin_version: this.version, code, reason: endText(end) },
        "plugin did not start; trying again",
      );
  }
}

function endText(end: CallEnd<unknown>): string {
  return end.type === "threw" ? errorText(end.error) : "no answer within the deadline";
}
