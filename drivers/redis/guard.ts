import { PulseGateError } from "../../core/canonical/errors.ts";
import type { Clock, Logger } from "../../core/environment.ts";
import type { LogMetrics } from "../../core/ingestion/metrics.ts";
import { type Client, textOf } from "./client.ts";
import { checkDurability, type Durability, type Fault } from "./durability.ts";
import { missingShards } from "./identity.ts";
import type { Keys } from "./keys.ts";

export interface GuardOptions {
  readonly client: Client;
  readonly keys: Keys;
  readonly logId: string;
  readonly durability: "strict" | "relaxed";
  /** How many an acknowledgement waits for. */
  readonly replicas: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: LogMetrics;
}

const INTERVAL_MS = 30_000;
/** While nothing is taken, what ends that is not waited for so long. */
const REFUSING_INTERVAL_MS = 2_000;
const LOST_SHOWN_MAX = 5;

/**
 * Watches that Redis keeps what it is given: at once, then every 30 seconds. What was lost stays an alarm
 * until an operator accepts it.
 */
export class Guard {
  private readonly options: GuardOptions;
  private readonly stopped = new AbortController();
  private readonly lost = new Set<string>();
  private faults: readonly Fault[] = [];
  private evicted: number | undefined;
  /** The last decision of an operator that this process has seen. */
  private decision: string | undefined;
  private loop: Promise<void> | undefined;
  private hurry = new AbortController();
  waits = false;

  constructor(options: GuardOptions) {
    this.options = options;
  }

  /** Rejects with `log_unsafe`, naming each setting and what mends it; when relaxed it warns instead. */
  async start(): Promise<void> {
    this.decision = await this.lastDecision();
    await this.check();
    const refusal = this.refusal();
    if (refusal?.code === "log_unsafe") throw refusal;
    this.loop = this.run();
  }

  private async run(): Promise<void> {
    const { clock, logger } = this.options;
    while (!this.stopped.signal.aborted) {
      const waitMs = this.refusal() === undefined ? INTERVAL_MS : REFUSING_INTERVAL_MS;
      await clock.sleep(waitMs, AbortSignal.any([this.stopped.signal, this.hurry.signal]));
      this.hurry = new AbortController();
      if (this.stopped.signal.aborted) return;
      // What can't be asked is refused anyway: nothing is acknowledged without an answer.
      await this.check().catch((error: unknown) => logger.warn({ error }, "Redis could not be checked"));
    }
  }

  /** Something was not as the last look found it: looks anew soon. */
  look(): void {
    this.hurry.abort();
  }

  /** Looks anew. */
  async check(): Promise<void> {
    const { client, logId } = this.options;
    const decision = await this.lastDecision();
    if (decision !== this.decision) this.lost.clear();
    this.decision = decision;
    const durability = await checkDurability(client, this.options.replicas);
    this.judge(durability);
    for (const name of await missingShards(this.options, logId)) this.noteLost(`${name} is gone`);
    this.tell();
  }

  private judge({ faults, waits, evicted }: Durability): void {
    const { durability, logger } = this.options;
    if (textsOf(faults) !== textsOf(this.faults)) {
      const shown = { faults: faults.map(({ server, what, mend }) => ({ server, what, mend })) };
      if (faults.length === 0) logger.info({}, "Redis keeps again what it is given");
      else if (durability === "relaxed") logger.warn(shown, "durability is relaxed: Redis may lose accepted events");
      else logger.error(shown, "Redis may lose accepted events: nothing is accepted until that is mended");
    }
    this.faults = faults;
    this.waits = waits;
    const before = this.evicted ?? evicted;
    if (evicted > before) this.noteLost(`Redis evicted ${evicted - before} key(s)`);
    this.evicted = evicted;
  }

  noteLost(what: string): void {
    if (this.lost.has(what)) return;
    this.lost.add(what);
    const next = "put the data back, or accept the loss: pulsegate lanes reset --confirm";
    this.options.logger.error({ lost: what, next }, "Redis lost what it held");
    this.tell();
  }

  private tell(): void {
    const { metrics } = this.options;
    metrics.alarm("lost", this.lost.size > 0);
    metrics.alarm("unsafe", this.faults.length > 0);
  }

  /** Why nothing may be acknowledged now. */
  refusal(): PulseGateError | undefined {
    if (this.faults.length > 0 && this.options.durability === "strict") {
      return new PulseGateError("log_unsafe", `Redis may lose accepted events: ${textsOf(this.faults)}`);
    }
    return undefined;
  }

  /** Why the log is not whole. */
  loss(): PulseGateError | undefined {
    if (this.lost.size === 0) return undefined;
    const shown = [...this.lost].slice(0, LOST_SHOWN_MAX).join(", ");
    const more = this.lost.size > LOST_SHOWN_MAX ? ` and ${this.lost.size - LOST_SHOWN_MAX} more` : "";
    const next = "Put the data back, or accept the loss: pulsegate lanes reset --confirm.";
    return new PulseGateError("log_unavailable", `Redis lost what it held: ${shown}${more}. ${next}`);
  }

  private async lastDecision(): Promise<string> {
    return textOf(await this.options.client.call("GET", this.options.keys.shared("decision")));
  }

  async stop(): Promise<void> {
    this.stopped.abort();
    await this.loop;
  }
}

function textsOf(faults: readonly Fault[]): string {
  return faults.map(({ server, what, mend }) => `${server}: ${what} (${mend})`).join("; ");
}
