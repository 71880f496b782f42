import type { Slot } from "../core/ingestion/lane-slot.ts";
import { type BatchLimits, LaneWindow } from "../core/ingestion/lane-window.ts";
import type { Claim, LaneId, ReadLimits } from "../core/ingestion/log.ts";
import { Alarm } from "./alarm.ts";
import { Calls } from "./call.ts";
import { decodeOnly, type Prepared, runChain } from "./chain.ts";
import { deliver, isAlive, SENDS_MAX } from "./delivery.ts";
import { CommitPace, commitUntilKnown, storeBackoffMs } from "./lane-commit.ts";
import { FEW, readLimits } from "./lane-limits.ts";
import type { LaneOptions, LaneView } from "./lane-options.ts";
import type { TurnRequest } from "./live-turns.ts";
import { LaneReport } from "./lane-report.ts";
import { applyChainFailure, applyRound, type RoundParts } from "./lane-round.ts";
import { keyOfOrdering, takesFollowers } from "./ordering.ts";
import type { Target } from "./target.ts";

/** Events of one run of the chain; bounds what transforms do side by side. */
const PREPARE_MAX = 128;
/** A lane's window in bytes, in batches: one out, one ready, two read ahead. */
const WINDOW_BATCHES = 4;
const NEVER = Number.POSITIVE_INFINITY;

/**
 * Moves one lane: read ahead, transform, deliver, settle, commit; each at most once under way, all
 * side by side. Idle, it holds no timer and no promise: `wake` sets it going.
 */
export class LaneRunner {
  readonly #options: LaneOptions;
  readonly #window: LaneWindow;
  readonly #calls: Calls;
  readonly #report: LaneReport;
  readonly #alarm: Alarm;
  readonly #commits: CommitPace;
  #cursor: number;
  /** There may be entries that were not read yet. */
  #behind = false;
  /** The last read found nothing: what comes from here on comes as it arrives. */
  #atEnd = false;
  /** At the stream's end, what is less than a full batch is neither read nor sent before this time. */
  #gatherUntil = Number.NEGATIVE_INFINITY;
  #reading = false;
  #readFailures = 0;
  #readNotBefore = Number.NEGATIVE_INFINITY;
  /** When the source may be asked, as it last said. */
  #sourceAt = Number.NEGATIVE_INFINITY;
  #preparing = false;
  #delivering = false;
  #committing = false;
  #stopping = false;
  #aborted = false;
  #fenced = false;
  #pumping = false;
  #pumpAgain = false;
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
      keyOf: keyOfOrdering(use.ordering),
    });
    this.#calls = new Calls(deps.timers);
    this.#report = new LaneReport(options);
    this.#alarm = new Alarm(deps.timers, () => this.#pump());
    this.#commits = new CommitPace(use);
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
    const startError = this.target.host.lastError ?? this.#options.chain.lastError;
    return {
      isOut: this.#preparing || this.#delivering,
      window: this.#window.size,
      retrying: this.#window.count("waiting"),
      parked: this.#window.count("parked"),
      oldestReceivedAt: this.#window.oldest()?.receivedAt,
      startError,
      lastError: startError ?? this.#report.lastError,
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
    this.#options.deps.turns.leaveQueue(this);
    this.#options.deps.liveTurns.leave(this);
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
      // What was read in search of a witness may have been parked at once: then the search goes on.
      if (this.#window.count("parked") > 0) this.#startRead();
      // What was read ahead is of no use while the sink is out: memory goes to those that deliver.
      if (this.#options.target.breaker !== "closed") this.#shed();
    }
    this.#startCommit();
    this.#accountBytes();
    if (this.#stopping) this.#endIfDone();
    else this.#setAlarm();
  }

  #shed(): void {
    const before = this.#window.nextRead;
    this.#window.shed(FEW);
    if (this.#window.nextRead < before) this.#behind = true;
  }

  /**
   * Whether the lane keeps up, so that a batch gains by time to grow: a busy stream's events come a
   * few per commit of the log, and each read, delivery and commit of a few costs nearly what a full
   * one does. What fails is sorted out by trying, not by waiting.
   */
  get #keepsUp(): boolean {
    return this.#atEnd && this.#window.isClean;
  }

  /** What could be read or sent now may as well go with what comes. The first event after a pause finds the time long over. */
  get #gathers(): boolean {
    return this.#keepsUp && (this.#delivering || this.#now() < this.#gatherUntil);
  }

  #now(): number {
    return this.#options.deps.timers.now();
  }

  #startRead(): void {
    if (this.#reading || !this.#behind || this.#now() < this.#readNotBefore) return;
    if (this.#gathers) return;
    const limits = readLimits({ options: this.#options, window: this.#window, lane: this });
    if (limits === undefined) return;
    const waitMs = this.#options.source.waitMs();
    this.#sourceAt = this.#now() + waitMs;
    if (waitMs > 0) return;
    this.#behind = false;
    this.#reading = true;
    void this.#read(limits);
  }

  async #read(limits: ReadLimits): Promise<void> {
    const { deps, source } = this.#options;
    const from = this.#window.nextRead;
    deps.budget.change(limits.bytes);
    try {
      const entries = await source.read(from, limits);
      this.#readFailures = 0;
      const missing = this.#stopping ? 0 : this.#window.push(entries, { from, readAt: this.#now() });
      if (missing > 0) this.#report.hole(this.#window.nextRead, missing);
      // Only an empty answer means the end: a driver may stop short, e.g. at a segment's edge.
      this.#atEnd = entries.length === 0;
      if (!this.#atEnd) this.#behind = true;
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
    const wanted = use.batch.eventsMax - this.#window.untried;
    if (this.#preparing || wanted <= 0 || this.#window.count("fresh") === 0 || !chain.ready(this)) return;
    if (chain.isEmpty) {
      for (const slot of this.#window.takeFresh(wanted)) this.#afterChain(slot, decodeOnly(slot.bytes));
      return;
    }
    this.#preparing = true;
    void this.#prepare(this.#window.takeFresh(Math.min(wanted, PREPARE_MAX)));
  }

  async #prepare(slots: readonly Slot[]): Promise<void> {
    const { chain: stages, use, deps, job } = this.#options;
    const inputs = slots.map((slot) => ({ bytes: slot.bytes, attempt: slot.tries + 1 }));
    const { timeoutMs } = use.retry;
    const replayId = job?.id;
    const results = await runChain({ stages, inputs, calls: this.#calls, timeoutMs, pace: deps.pace, replayId });
    slots.forEach((slot, i) => this.#afterChain(slot, results[i]));
    this.#preparing = false;
    this.#pump();
  }

  #afterChain(slot: Slot, prepared: Prepared | undefined): void {
    if (prepared === undefined) return this.#window.giveBack(slot);
    if (prepared.type === "ok") return this.#window.prepared(slot, prepared.event, prepared.size);
    if (prepared.type === "filtered")
      return this.#window.settle(slot, { type: "filtered", reason: this.#report.filterReason(prepared.reason) });
    applyChainFailure(this.#parts, slot, prepared);
  }

  get #parts(): RoundParts {
    return { options: this.#options, window: this.#window, report: this.#report };
  }

  #startDelivery(): void {
    const { target, use, deps } = this.#options;
    if (this.#delivering || this.#window.count("ready") === 0) return;
    const followers = takesFollowers(use.ordering, target.host.instance);
    const limits = { eventsMax: this.#batchMax(), bytesMax: use.batch.bytesMax, followers };
    // What is being read from the end joins the batch that it was gathered for.
    const isFull = this.#window.hasBatch(limits);
    if (!isFull && (this.#gathers || (this.#keepsUp && this.#reading))) return;
    const isAside = this.#isAside;
    const isTurn = isAside ? deps.turns.take(this) : deps.liveTurns.take(this, this.#turnRequest(limits));
    if (!isTurn) return;
    const permit = target.permit(this, this.#calls.abandoned);
    if (permit === "wait") return isAside ? deps.turns.giveBack() : undefined;
    const isProbe = permit === "probe";
    const slots = isProbe ? this.#window.takeProbe() : this.#window.takeBatch(limits);
    this.#delivering = true;
    // What full batches leave over goes right after them.
    if (!isFull) this.#gatherUntil = this.#now() + use.batch.lingerMs;
    void this.#deliver(slots, { probe: isProbe, inOrder: followers });
  }

  /** One at a time with others of its kind, until its sink has answered: lanes of jobs, below live ones. */
  get #isAside(): boolean {
    return this.#options.job !== undefined || this.#options.deps.lanesInLine;
  }

  #turnRequest(limits: BatchLimits): TurnRequest {
    const { lane, weight } = this.#options;
    const kibEach = this.#window.bytes / this.#window.size / 1024;
    const cost = Math.min(this.#window.sendable(limits), limits.eventsMax) * (1 + kibEach);
    return { tenantId: lane.stream.tenantId, weight, cost };
  }

  #batchMax(): number {
    const { target, use } = this.#options;
    const { eventsMax } = use.batch;
    return target.host.instance?.sendBatch === undefined ? Math.min(SENDS_MAX, eventsMax) : eventsMax;
  }

  async #deliver(slots: readonly Slot[], { probe, inOrder }: { probe: boolean; inOrder: boolean }): Promise<void> {
    const { target, deps, job } = this.#options;
    const startedAt = this.#now();
    if (!this.#isAside) deps.turns.enter();
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
      inOrder,
      calls: this.#calls,
      timeoutMs: target.timeoutMs(probe),
      onCall: (count, ms) => this.#report.call(count, ms),
      monotonic: () => this.#now(),
      replayId: job?.id,
    });
    const tookMs = this.#now() - startedAt;
    applyRound(this.#parts, { slots, verdicts, probe, tookMs });
    target.left(this, { ok: verdicts.some(isAlive), tookMs: this.#aborted ? undefined : tookMs });
    this.#startCommit();
    await deps.pace.round();
    this.#delivering = false;
    if (this.#isAside) deps.turns.done(job?.idleShare() ?? 1);
    else deps.turns.leave();
    this.#pump();
  }

  #startCommit(): void {
    if (this.#committing || this.#fenced || !this.#window.hasSettled) return;
    if (!this.#stopping && this.#commits.gathers(this.#now(), this.#window.room())) return;
    this.#committing = true;
    this.#commits.begins(this.#now());
    void this.#commit(this.#window.collect());
  }

  async #commit(prefix: readonly Slot[]): Promise<void> {
    const { deps, lane, claim, source } = this.#options;
    const stamp = { configRevision: this.#report.revision, settledAt: deps.timers.clock.now() };
    const settled = source.settle(prefix, stamp);
    const { settlement, deadLetters, redriven } = settled;
    const commit = { lane, claim, settlement, deadLetters, redriven };
    const end = await commitUntilKnown({ deps, commit, report: this.#report, isAborted: () => this.#aborted });
    this.#committing = false;
    if (end === "committed") {
      this.#cursor = settlement.to;
      this.#window.committed(prefix);
      this.#report.settled(settled);
      return this.#pump();
    }
    this.lose();
    if (end === "fenced") this.#options.onFenced();
  }

  #setAlarm(): void {
    const mayReadAt = Math.max(this.#readNotBefore, this.#sourceAt);
    const readAt = this.#behind && mayReadAt > this.#now() ? mayReadAt : NEVER;
    const isWaiting = this.#gathers && !this.#delivering && (this.#behind || this.#window.count("ready") > 0);
    const commitAt = this.#window.hasSettled && !this.#committing ? this.#commits.nextAt : NEVER;
    const gatherAt = isWaiting ? this.#gatherUntil : NEVER;
    this.#alarm.set(Math.min(this.#window.nextDueAt() ?? NEVER, readAt, gatherAt, commitAt));
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
    this.#alarm.set(NEVER);
    this.#options.deps.budget.change(-this.#held);
    this.#held = 0;
    for (const resolve of this.#onStopped.splice(0)) resolve();
  }
}
