import type { Random } from "../../core/environment.ts";
import { fullJitterMs } from "../../core/qps/backoff.ts";
import type { PluginContext } from "../../plugins/contract.ts";
import type { Timers } from "../timers.ts";
import type { Runner, RunnerDied } from "./runner.ts";

const RESTART_MIN_MS = 50;
const RESTART_MAX_MS = 5_000;
/** As long as the plugin host lets the first start take. */
const START_MS = 30_000;
/** The plugin host waits a little longer. */
const CLOSE_MS = 4_000;

export interface ResidentOptions {
  readonly make: () => Runner;
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: PluginContext["logger"];
  readonly version: string;
  /** It is there again after a death. */
  readonly onBack: () => void;
}

/** Keeps one runner going: started again with backoff whenever it dies. */
export class Resident {
  readonly #options: ResidentOptions;
  #config: unknown;
  #runner: Runner | undefined;
  #starting: Runner | undefined;
  #deaths = 0;
  #closed = false;

  constructor(options: ResidentOptions) {
    this.#options = options;
  }

  /** Undefined while it is being started. */
  get runner(): Runner | undefined {
    return this.#runner;
  }

  /** The first start; rejects if it fails, and may be called again. */
  async start(config: unknown): Promise<void> {
    this.#config = config;
    await this.#start();
  }

  /** It has answered: no crash loop. */
  worked(): void {
    this.#deaths = 0;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await (this.#runner ?? this.#starting)?.close(CLOSE_MS);
  }

  async #start(): Promise<void> {
    const runner = this.#options.make();
    this.#starting = runner;
    try {
      await this.#inTime(runner.start(this.#config));
    } catch (error) {
      await runner.close(0);
      throw error;
    } finally {
      this.#starting = undefined;
    }
    if (this.#closed) return runner.close(CLOSE_MS);
    this.#runner = runner;
    void runner.died.then((death) => this.#afterDeath(death));
  }

  /** Whoever is started again is not watched by the plugin host any more. */
  async #inTime(start: Promise<void>): Promise<void> {
    const late = Promise.withResolvers<never>();
    const deadline = this.#options.timers.after(START_MS, () => {
      late.reject(new Error(`no start within ${START_MS / 1_000} s`));
    });
    try {
      await Promise.race([start, late.promise]);
    } finally {
      deadline.cancel();
    }
  }

  async #afterDeath(death: RunnerDied): Promise<void> {
    this.#runner = undefined;
    const { timers, random, logger, version } = this.#options;
    while (!this.#closed && this.#runner === undefined) {
      this.#deaths += 1;
      const delayMs = fullJitterMs({ attempt: this.#deaths, minMs: RESTART_MIN_MS, maxMs: RESTART_MAX_MS, random });
      const fields = { plugin_version: version, code: death.code, reason: death.message, restarts: this.#deaths };
      logger.warn(fields, "plugin died; it is started again");
      await timers.pause(delayMs);
      if (this.#closed) return;
      await this.#start().catch((error: unknown) => {
        logger.warn({ plugin_version: version, reason: String(error) }, "plugin did not start again");
      });
    }
    if (!this.#closed) this.#options.onBack();
  }
}
