import { LaneWindow, type Slot } from "../core/ingestion/lane-window.ts";
import type { Claim, LaneId, LaneState } from "../core/ingestion/log.ts";
import type { SinkUse } from "../core/ingestion/revision.ts";
import { settlementOf } from "../core/ingestion/settle.ts";
import { fullJitterMs } from "../core/qps/backoff.ts";
import { Calls } from "./call.ts";
import { decodeOnly, type Prepared, runChain } from "./chain.ts";
import { deliver, SENDS_MAX } from "./delivery.ts";
import type { LaneError, WorkerDeps } from "./deps.ts";
import { commitUntilKnown, storeBackoffMs } from "./lane-commit.ts";
import { LaneReport } from "./lane-report.ts";
import { applyRound } from "./lane-round.ts";
import type { Target } from "./target.ts";
import type { Timer } from "./timers.ts";
import type { Chain } from "./transforms.ts";

/** Events of one run of the chain; bounds what transforms do side by side. */
const PREPARE_MAX = 128;
/** A lane's window in bytes, in batches: one out, one ready, two read ahead. */
const WINDOW_BATCHES = 4;
/** What a lane keeps while its sink is out and the worker is short of memory: enough to probe with. */
const SHED_KEEP = 16;
const NEVER = Number.POSITIVE_INFINITY;

export interface LaneOptions {
  readonly deps: WorkerDeps;
  readonly lane: LaneId;
  readonly claim: Claim;
  readonly state: LaneState;
  readonly use: SinkUse;
  readonly chain: Chain;
  readonly target: Target;
  readonly revision: number;
  /** The claim was lost, or another moved the cursor: nothing more is delivered or committed here. */
  readonly onFenced: (lane: LaneRunner) => void;
}

/** What `status` shows beside the cursor. */
export interface LaneView {
  readonly window: number;
  readonly retrying: number;
  readonly oldestReceivedAt: number | undefined;
  readonly lastError: LaneError | undefined;
}

/**
 * Moves one lane: read ahead, transform, deliver, settle, commit; each at most once under way, all
 * side by side. Idle, it holds no timer and no promise: `wake` sets it going.
 */
export class LaneRunner {
  readonly #options: LaneOptions;
  readonly #window: LaneWindow;
  readonly #calls: Calls;
  readonly #report: LaneReport;
  #cursor: number;
  /** There may be entries that were not read yet. */
  #behind = false;
  #reading = false;
  #readFailures = 0;
  #readNotBefore = Number.NEGATIVE_INFINITY;
  #preparing = false;
  #delivering = false;
  #committing = false;
  #stopping = false;
  #aborted = false;
  #fenced = false;
  #pumping = false;
  #pumpAgain = false;
  #timer: Timer | undefined;
  #timerAt = NEVER;
  #held = 0;
  readonly #onStopped: (() => void)[] = [];

  constructor(options: LaneOptions) {
    const { deps, use, state } = options;
    this.#options = options;
    this.#cursor = state.cursor;
    this.#window = new LaneWindow({
      cursor: state.cursor,
      eventsMax: use.windowEvents,
      bytesMax: use.batch.bytesMax * WINDOW_BATCHES,
    });
    this.#calls = new Calls(deps.timers);
    this.#report = new LaneReport(options);
  }

  get lane(): LaneId {
    return this.#options.lane;
  }

  get claim(): Claim {
    return this.#options.claim;
  }

  get target(): Target {
    return this.#options.target;
  }

  /** One past the last sequence that is durably settled. */
  get cursor(): number {
    return this.#cursor;
  }

  /** The claim is gone; the lane is to be opened anew, if at all. */
  get lost(): boolean {
    return this.#fenced;
  }

  get view(): LaneView {
    const { target, chain } = this.#options;
    return {
      window: this.#window.size,
      retrying: this.#window.count("waiting"),
      oldestReceivedAt: this.#window.oldest()?.receivedAt,
      lastError: target.host.lastError ?? chain.lastError ?? this.#report.lastError,
    };
  }

  /** For settlements and dead letters from here on. */
  set revision(number: number) {
    this.#report.revision = number;
  }

  /** There may be new entries in the stream. */
  wake(): void {
    this.#behind = true;
    this.#pump();
  }

  /** What the lane waited for may be there: its target, its transforms, memory. */
  resume(): void {
    this.#pump();
  }

  /** Takes no more work; resolves when what is under way is done and what is settled is committed. */
  stop(): Promise<void> {
    this.#stopping = true;
    this.#options.target.leave(this);
    this.#options.chain.leave(this);
    this.#options.deps.budget.leave(this);
    return new Promise((resolve) => {
      this.#onStopped.push(resolve);
      this.#pump();
    });
  }

  /** Cancels calls under way and stops trying to reach a log that fails. What is not committed is delivered again later. */
  abort(): void {
    this.#aborted = true;
    this.#stopping = true;
    this.#calls.abort();
    this.#pump();
  }

  /** The claim is gone: cancels everything and commits nothing more. */
  lose(): void {
    this.#fenced = true;
    this.abort();
  }

  #pump(): void {
    this.#pumpAgain = true;
    if (this.#pumping) return;
    this.#pumping = true;
    while (this.#pumpAgain) {
      this.#pumpAgain = false;
      this.#turn();
    }
    this.#pumping = false;
  }

  #turn(): void {
    if (!this.#stopping) {
      this.#window.wakeDue(this.#now());
      this.#startRead();
      this.#startPrepare();
      this.#startDelivery();
      // The next batch is made ready while this one is out.
      this.#startPrepare();
      this.#armTimer();
    }
    this.#startCommit();
    this.#accountBytes();
    if (this.#stopping) this.#endIfDone();
  }

  #now(): number {
    return this.#options.deps.timers.now();
  }

  #startRead(): void {
    if (this.#reading || !this.#behind || this.#now() < this.#readNotBefore) return;
    const limits = this.#readLimits();
    if (limits === undefined) return;
    this.#behind = false;
    this.#reading = true;
    void this.#read(limits);
  }

  /** Undefined while there is no need or no room to read. */
  #readLimits(): { readonly entries: number; readonly bytes: number } | undefined {
    const { deps, use, target } = this.#options;
    if (deps.budget.tight) {
      if (target.breaker !== "closed") this.#window.shed(SHED_KEEP);
      deps.budget.wait(this);
      // A lane that holds nothing may always take a little, or it might never move.
      return this.#window.size === 0 ? { entries: SHED_KEEP, bytes: 1 } : undefined;
    }
    const room = this.#window.room();
    if (room.entries <= 0 || room.bytes <= 0) return undefined;
    // A window that is nearly full is refilled in one go, not by a small read after each commit.
    const isLow = this.#window.count("fresh") + this.#window.count("ready") < use.batch.eventsMax;
    if (!isLow && room.entries * 2 < use.windowEvents) return undefined;
    return { entries: room.entries, bytes: Math.min(room.bytes, use.batch.bytesMax) };
  }

  async #read(limits: { readonly entries: number; readonly bytes: number }): Promise<void> {
    const { deps, lane } = this.#options;
    deps.budget.change(limits.bytes);
    try {
      const entries = await deps.log.read(lane.stream, this.#window.nextRead, limits);
      this.#readFailures = 0;
      const missing = this.#stopping ? 0 : this.#window.push(entries, this.#now());
      if (missing > 0) this.#report.hole(this.#window.nextRead, missing);
      // Only an empty answer means the end: a driver may stop short, e.g. at a segment's edge.
      if (entries.length > 0) this.#behind = true;
    } catch (error) {
      this.#readFailures += 1;
      this.#readNotBefore = this.#now() + storeBackoffMs(deps, this.#readFailures);
      this.#behind = true;
      this.#report.storeFailed("read", error);
    }
    this.#reading = false;
    this.#accountBytes();
    deps.budget.change(-limits.bytes);
    this.#pump();
  }

  #startPrepare(): void {
    const { chain, use } = this.#options;
    const wanted = use.batch.eventsMax - this.#window.count("ready");
    if (this.#preparing || wanted <= 0 || this.#window.count("fresh") === 0 || !chain.ready(this)) return;
    if (chain.transforms.length === 0) {
      for (const slot of this.#window.takeFresh(wanted)) this.#afterChain(slot, decodeOnly(slot.bytes));
      return;
    }
    this.#preparing = true;
    void this.#prepare(this.#window.takeFresh(Math.min(wanted, PREPARE_MAX)));
  }

  async #prepare(slots: readonly Slot[]): Promise<void> {
    const { chain, use } = this.#options;
    const inputs = slots.map((slot) => ({ bytes: slot.bytes, attempt: slot.tries + 1 }));
    const { timeoutMs } = use.retry;
    const results = await runChain({ transforms: chain.transforms, inputs, calls: this.#calls, timeoutMs });
    slots.forEach((slot, i) => this.#afterChain(slot, results[i]));
    this.#preparing = false;
    this.#pump();
  }

  #afterChain(slot: Slot, prepared: Prepared | undefined): void {
    if (prepared === undefined) return this.#window.giveBack(slot);
    if (prepared.type === "ok") return this.#window.prepared(slot, prepared.event, prepared.size);
    if (prepared.type === "filtered") {
      const reason = this.#report.filterReason(prepared.reason);
      return this.#window.settle(slot, { type: "filtered", reason });
    }
    this.#chainFailed(slot, prepared);
  }

  #chainFailed(slot: Slot, failure: Prepared & { readonly type: "failed" }): void {
    const { deps, use } = this.#options;
    const { attempts, backoffMinMs: minMs, backoffMaxMs: maxMs } = use.retry;
    slot.tries += 1;
    slot.attempts += 1;
    this.#report.failed(slot, failure);
    if (failure.retryable && slot.attempts < attempts) {
      const delayMs = fullJitterMs({ attempt: slot.attempts, minMs, maxMs, random: deps.random });
      return this.#window.retryAt(slot, this.#now() + delayMs);
    }
    this.#window.settle(slot, { type: "dead", deadLetter: this.#report.deadLetter(slot, failure) });
  }

  #startDelivery(): void {
    const { target, use } = this.#options;
    if (this.#delivering || this.#window.count("ready") === 0) return;
    const permit = target.permit(this, this.#calls.abandoned);
    if (permit === "wait") return;
    const eventsMax = permit === "probe" ? 1 : this.#batchMax();
    const slots = this.#window.takeBatch({ eventsMax, bytesMax: use.batch.bytesMax });
    this.#delivering = true;
    void this.#deliver(slots, permit === "probe");
  }

  #batchMax(): number {
    const { target, use } = this.#options;
    const { eventsMax } = use.batch;
    return target.host.instance?.sendBatch === undefined ? Math.min(SENDS_MAX, eventsMax) : eventsMax;
  }

  async #deliver(slots: readonly Slot[], probe: boolean): Promise<void> {
    const { target, deps } = this.#options;
    const startedAt = this.#now();
    let attempt = 0;
    const events: NonNullable<Slot["event"]>[] = [];
    for (const slot of slots) {
      if (slot.event !== undefined) events.push(slot.event);
      slot.tries += 1;
      attempt = Math.max(attempt, slot.tries);
    }
    const verdicts = await deliver({
      host: target.host,
      events,
      attempt,
      calls: this.#calls,
      timeoutMs: target.timeoutMs(probe),
      onCall: (count, ms) => this.#report.call(count, ms),
      monotonic: () => this.#now(),
    });
    const tookMs = this.#now() - startedAt;
    const parts = { options: this.#options, window: this.#window, report: this.#report };
    applyRound(parts, { slots, verdicts, probe, tookMs });
    this.#startCommit();
    await deps.pace.round();
    this.#delivering = false;
    this.#pump();
  }

  #startCommit(): void {
    if (this.#committing || this.#fenced) return;
    const prefix = this.#window.collect();
    if (prefix.length === 0) return;
    this.#committing = true;
    void this.#commit(prefix);
  }

  async #commit(prefix: readonly Slot[]): Promise<void> {
    const { deps, lane, claim } = this.#options;
    const stamp = { configRevision: this.#report.revision, settledAt: deps.timers.clock.now() };
    const settled = settlementOf(prefix, stamp);
    const { settlement, deadLetters } = settled;
    const commit = { lane, claim, settlement, deadLetters };
    const isAborted = () => this.#aborted;
    const end = await commitUntilKnown({ deps, commit, report: this.#report, isAborted });
    this.#committing = false;
    if (end === "committed") {
      this.#cursor = settlement.to;
      this.#window.committed(prefix);
      this.#report.settled(settled);
      return this.#pump();
    }
    this.lose();
    if (end === "fenced") this.#options.onFenced(this);
  }

  #armTimer(): void {
    const readAt = this.#behind && this.#readNotBefore > this.#now() ? this.#readNotBefore : NEVER;
    const at = Math.min(this.#window.nextDueAt() ?? NEVER, readAt);
    if (at === this.#timerAt) return;
    this.#timer?.cancel();
    this.#timerAt = at;
    if (at === NEVER) return;
    this.#timer = this.#options.deps.timers.after(at - this.#now(), () => {
      this.#timerAt = NEVER;
      this.#pump();
    });
  }

  #accountBytes(): void {
    const change = this.#window.bytes - this.#held;
    if (change === 0) return;
    this.#held = this.#window.bytes;
    this.#options.deps.budget.change(change);
  }

  #endIfDone(): void {
    if (this.#reading || this.#preparing || this.#delivering || this.#committing) return;
    if (this.#onStopped.length === 0) return;
    this.#timer?.cancel();
    this.#options.deps.budget.change(-this.#held);
    this.#held = 0;
    for (const resolve of this.#onStopped.splice(0)) resolve();
  }
}
