import { Breaker, type BreakerState } from "../core/qps/breaker.ts";
import { ConcurrencyLimit } from "../core/qps/concurrency.ts";
import type { JobLaneSight } from "../core/ingestion/jobs.ts";
import type { SinkUse } from "../core/ingestion/revision.ts";
import type { SinkDefinition, SinkPlugin } from "../plugins/contract.ts";
import type { WorkerDeps } from "./deps.ts";
import { PluginHost } from "./host.ts";
import type { Timer } from "./timers.ts";

const FAILURES_TO_OPEN = 3;
const COOL_MAX_MS = 2_000;
const PROBE_MIN_MS = 250;
const PROBE_MAX_MS = 2_000;
/** A probe's deadline, so that one lost in a dead network does not put off the next for long. */
const PROBE_TIMEOUT_MS = 2_000;
/** A probe in so many gets the whole deadline while the target has never answered: it may just be slow. */
const PATIENT_PROBE = 4;
/** One in so long, when it did answer before: it may have become slow. */
const PATIENT_EVERY_MS = 300_000;
/** Calls of one lane that a sink which ignores its signal may leave hanging; then it is asked only rarely, for each holds memory. */
const ABANDONED_MAX = 256;
const ABANDONED_PAUSE_MS = 30_000;
/** Deliveries of one sink at one time, when the configuration says nothing. */
const IN_FLIGHT_MAX = 16;

/** A lane that waits for its target. */
export interface Waiter {
  resume(): void;
}

export interface TargetOptions {
  readonly deps: WorkerDeps;
  readonly tenantId: string;
  readonly use: SinkUse;
  readonly definition: SinkDefinition;
  /** Another instance of the same sink, whose signs of life count here, too; but not its outages. */
  readonly kin?: (() => Target | undefined) | undefined;
}

/**
 * One sink of one tenant in this worker: the plugin's instance and the breaker before it, shared by
 * the lanes of all its partitions.
 */
export class Target {
  readonly host: PluginHost<SinkPlugin>;
  readonly #options: TargetOptions;
  readonly #breaker: Breaker;
  readonly #concurrency: ConcurrencyLimit;
  /** Lanes with a batch out, and when they took it by the limit's own reckoning. */
  readonly #out = new Map<Waiter, number>();
  #waiting = new Set<Waiter>();
  #timer: Timer | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  #aliveCount = 0;
  #slowestMs = 0;
  #probes = 0;
  #patientAt = Number.NEGATIVE_INFINITY;
  #lastAskedAt = Number.NEGATIVE_INFINITY;
  #failure: JobLaneSight["waitsFor"];

  constructor(options: TargetOptions) {
    const { deps, tenantId, use, definition } = options;
    const { config, retry, id: sink } = use;
    this.#options = options;
    this.#breaker = new Breaker({
      random: deps.random,
      failuresToOpen: FAILURES_TO_OPEN,
      coolMinMs: retry.backoffMinMs,
      coolMaxMs: Math.min(retry.backoffMaxMs, COOL_MAX_MS),
      probeMinMs: PROBE_MIN_MS,
      probeMaxMs: PROBE_MAX_MS,
    });
    this.#concurrency = new ConcurrencyLimit({ max: use.inFlightMax ?? IN_FLIGHT_MAX });
    this.host = new PluginHost<SinkPlugin>({
      deps,
      definition,
      config,
      tenantId,
      sink,
      timeoutMs: retry.timeoutMs,
      isComplete: (plugin) => typeof plugin.send === "function",
      onReady: () => this.#wakeAll(),
    });
  }

  get breaker(): BreakerState {
    return this.#breaker.state;
  }

  /** How it failed last, while its breaker is not closed. */
  get outage(): JobLaneSight["waitsFor"] {
    return this.breaker === "closed" ? undefined : this.#failure;
  }

  /** Signs of life so far: rounds in which an event was taken or refused for good. */
  get aliveCount(): number {
    return this.#aliveCount + (this.#options.kin?.()?.aliveCount ?? 0);
  }

  /**
   * Asks to deliver; on `wait` the lane is woken when it should ask again. `probe` must be answered by
   * `alive`, `failed` or `released`, `batch` in the end by `left`.
   */
  permit(lane: Waiter, abandoned: number): "batch" | "probe" | "wait" {
    const now = this.#now();
    if (this.host.instance === undefined) return this.#wait(lane, Number.POSITIVE_INFINITY);
    if (abandoned >= ABANDONED_MAX && now < this.#lastAskedAt + ABANDONED_PAUSE_MS) {
      return this.#wait(lane, this.#lastAskedAt + ABANDONED_PAUSE_MS);
    }
    const permit = this.#breaker.permit(now);
    if (typeof permit === "object") return this.#wait(lane, permit.waitUntil);
    if (permit === "batch" && !this.#enter(lane)) return this.#wait(lane, Number.POSITIVE_INFINITY);
    this.#waiting.delete(lane);
    this.#lastAskedAt = now;
    return permit;
  }

  /** The lane's batch is back. `tookMs` undefined: it was cut off. */
  left(lane: Waiter, call: { readonly ok: boolean; readonly tookMs: number | undefined }): void {
    const epoch = this.#out.get(lane);
    if (epoch === undefined) return;
    this.#out.delete(lane);
    this.#concurrency.leave(epoch, call);
    this.#wakeSome();
  }

  #enter(lane: Waiter): boolean {
    if (this.#out.has(lane)) return true;
    const epoch = this.#concurrency.enter();
    if (epoch !== undefined) this.#out.set(lane, epoch);
    return epoch !== undefined;
  }

  /** The deadline of the next call. */
  timeoutMs(probe: boolean): number {
    const { timeoutMs } = this.#options.use.retry;
    if (!probe || this.#isPatient()) return timeoutMs;
    return Math.min(timeoutMs, Math.max(PROBE_TIMEOUT_MS, this.#slowestMs * 2));
  }

  #isPatient(): boolean {
    const now = this.#now();
    this.#probes += 1;
    if (this.#aliveCount === 0) return this.#probes % PATIENT_PROBE === 0;
    if (now < this.#patientAt + PATIENT_EVERY_MS) return false;
    this.#patientAt = now;
    return true;
  }

  alive(tookMs: number): void {
    this.#aliveCount += 1;
    // Forgets slowly, so that one quick answer does not make the next probe impatient.
    this.#slowestMs = Math.max(tookMs, this.#slowestMs * 0.95);
    this.#patientAt = this.#now();
    if (!this.#breaker.alive()) return;
    this.host.logger.info({ breaker: "closed" }, "sink is back");
    this.#wakeAll();
  }

  failed(round: {
    readonly unavailable: boolean;
    readonly retryAfterMs: number;
    readonly code: string;
    readonly reason: string;
  }): void {
    this.#failure = { stage: this.host.stage, code: round.code, message: round.reason };
    const opened = this.#breaker.failed(this.#now(), round);
    if (opened)
      this.host.logger.warn({ breaker: "open", code: round.code, reason: round.reason }, "sink is out; its lanes wait");
    // Those that wait for the probe's result learn when the next one is due.
    this.#wakeAll();
  }

  /** The permit was not used, or its round was cut off. */
  released(): void {
    this.#breaker.released();
    this.#wakeSome();
  }

  /** The lane is resumed when the target is back. */
  watch(lane: Waiter): void {
    this.#waiting.add(lane);
  }

  leave(lane: Waiter): void {
    this.#waiting.delete(lane);
  }

  async close(timeoutMs: number): Promise<void> {
    this.#timer?.cancel();
    await this.host.close(timeoutMs);
  }

  #now(): number {
    return this.#options.deps.timers.now();
  }

  #wait(lane: Waiter, until: number): "wait" {
    this.#waiting.add(lane);
    if (until < this.#timerAt) this.#arm(until);
    return "wait";
  }

  #arm(until: number): void {
    this.#timer?.cancel();
    this.#timerAt = until;
    this.#timer = this.#options.deps.timers.after(until - this.#now(), () => {
      this.#timerAt = Number.POSITIVE_INFINITY;
      this.#wakeSome();
    });
  }

  #wakeAll(): void {
    const waiting = this.#waiting;
    this.#waiting = new Set();
    for (const lane of waiting) lane.resume();
  }

  /** Wakes lanes until one has a probe out: those behind it are the first to have their turn at the next. */
  #wakeSome(): void {
    const turns = [...this.#waiting];
    this.#waiting = new Set();
    while (turns.length > 0 && this.#breaker.state !== "half_open") turns.shift()?.resume();
    this.#waiting = new Set([...turns, ...this.#waiting]);
  }
}
