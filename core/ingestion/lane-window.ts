import type { CanonicalEvent } from "../canonical/event.ts";
import type { KeyOf } from "../canonical/payload-key.ts";
import { Fifo, MinHeap } from "../qps/queue.ts";
import { KeyLines } from "./key-line.ts";
import { type Gap, newSlot, type Slot, type SlotOutcome, type SlotState } from "./lane-slot.ts";
import type { LogEntry } from "./log.ts";

export interface WindowOptions {
  /** The lane's cursor: the first sequence to read. */
  readonly cursor: number;
  readonly eventsMax: number;
  readonly bytesMax: number;
  /** Events of one key are sent one after another; absent: each for itself. */
  readonly keyOf?: KeyOf | undefined;
}

export interface BatchLimits {
  readonly eventsMax: number;
  readonly bytesMax: number;
  /** Whether a batch may hold several events of one key, in order. */
  readonly followers?: boolean;
}

const NOTHING = Buffer.alloc(0);

/**
 * The events that a lane has read and not committed, in order, each with its own fate. Events may
 * settle in any order; `collect` gives only the contiguous settled prefix, so a cursor made from it
 * never passes an unsettled event.
 */
export class LaneWindow {
  readonly #options: WindowOptions;
  readonly #slots = new Fifo<Slot>();
  readonly #fresh = new Fifo<Slot>();
  readonly #ready = new Fifo<Slot>();
  readonly #waiting = new MinHeap<{ readonly dueAt: number; readonly slot: Slot }>((entry) => entry.dueAt);
  readonly #counts: Record<SlotState, number> = {
    fresh: 0,
    preparing: 0,
    parked: 0,
    ready: 0,
    sending: 0,
    waiting: 0,
    settled: 0,
    dropped: 0,
  };
  #nextRead: number;
  #bytes = 0;
  #collected = 0;
  #untried = 0;
  readonly #lines = new KeyLines();
  /** Events ready that waited for another of their key: they are not to wait for company as well. */
  #released = 0;
  /** Unsettled events that the search for a witness has come to: they are not given up, or it would never end. */
  #sought = 0;

  constructor(options: WindowOptions) {
    this.#options = options;
    this.#nextRead = options.cursor;
  }

  /** The sequence to read from next. */
  get nextRead(): number {
    return this.#nextRead;
  }

  /** Events read and not committed. */
  get size(): number {
    return this.#slots.size + this.#collected;
  }

  /** Bytes held for events that are not settled, or dead and not committed. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Events ready to be sent for the first time: those that failed before do not count as work in store. */
  get untried(): number {
    return this.#untried;
  }

  /** Events read and not settled. */
  get unsettled(): number {
    return this.#slots.size - this.#counts.settled;
  }

  count(state: SlotState): number {
    return this.#counts[state];
  }

  /** Room for reading ahead; may be negative in bytes, by the last entry. */
  room(): { readonly entries: number; readonly bytes: number } {
    return { entries: this.#options.eventsMax - this.size, bytes: this.#options.bytesMax - this.#bytes };
  }

  /** The oldest event that is not settled. */
  oldest(): Slot | undefined {
    for (const slot of this.#slots) if (slot.state !== "settled") return slot;
    return undefined;
  }

  /** Takes entries as read from `nextRead` on. Returns how many sequences were missing from the log. */
  push(
    entries: readonly (LogEntry | Gap)[],
    { from, readAt }: { readonly from: number; readonly readAt: number },
  ): number {
    // What was shed while the log was asked lies before this answer: it is not missing, it is to be read again.
    if (from > this.#nextRead) return 0;
    let missing = 0;
    for (const entry of entries) {
      const { sequence } = entry;
      // Another reader's answer of before a `shed` may overlap; each sequence is taken once.
      if (sequence < this.#nextRead) continue;
      if (sequence > this.#nextRead) {
        missing += sequence - this.#nextRead;
        this.#pushGap({ sequence: this.#nextRead, to: sequence, outcome: { type: "erased" } }, readAt);
      }
      if ("to" in entry) this.#pushGap(entry, readAt);
      else this.#pushEntry(entry, readAt);
    }
    return missing;
  }

  #pushEntry(entry: LogEntry, readAt: number): void {
    const slot = newSlot(entry, readAt, { key: this.#options.keyOf?.(entry.bytes) });
    this.#nextRead = slot.to;
    this.#bytes += entry.bytes.length;
    this.#lines.join(slot);
    this.#slots.push(slot);
    this.#counts.fresh += 1;
    this.#fresh.push(slot);
  }

  #pushGap({ sequence, to, outcome }: Gap, readAt: number): void {
    const slot = newSlot({ sequence, receivedAt: 0, bytes: NOTHING }, readAt, { to });
    slot.state = "settled";
    slot.outcome = outcome;
    this.#counts.settled += 1;
    this.#nextRead = to;
    this.#slots.push(slot);
  }

  /** Lets events whose time to be tried again has come join the others. */
  wakeDue(now: number): void {
    for (let entry = this.#waiting.peek(); entry !== undefined && entry.dueAt <= now; entry = this.#waiting.peek()) {
      this.#waiting.pop();
      if (isCurrent(entry)) this.#requeue(entry.slot);
    }
  }

  /** Up to `max` events to decode and transform, in order. Each must come back by `prepared`, `retryAt`, `giveBack` or `settle`. */
  takeFresh(max: number): Slot[] {
    const taken: Slot[] = [];
    while (taken.length < max) {
      const slot = nextIn(this.#fresh, "fresh");
      if (slot === undefined) break;
      this.#fresh.shift();
      this.#move(slot, "preparing");
      taken.push(slot);
    }
    return taken;
  }

  prepared(slot: Slot, event: CanonicalEvent, size: number): void {
    slot.event = event;
    slot.size = size;
    this.#requeue(slot);
  }

  /** Whether a batch is ready that gains nothing by waiting: it is full, say. Bytes are those of all events held: rather too soon than too late. */
  hasBatch(limits: BatchLimits): boolean {
    return this.#released > 0 || this.sendable(limits) >= limits.eventsMax || this.#bytes >= limits.bytesMax;
  }

  /** Events that could go with the next batches; those that wait for a failing one of their key are counted, too. */
  sendable({ followers }: Pick<BatchLimits, "followers">): number {
    return this.#counts.ready + (followers ? this.#counts.parked : 0);
  }

  /** Whether no event has failed that is still to be delivered. */
  get isClean(): boolean {
    return this.#counts.waiting === 0 && this.#counts.ready === this.#untried;
  }

  /** The next batch, at least one event if any is ready. Each must come back by `settle`, `retryAt` or `giveBack`. */
  takeBatch(limits: BatchLimits): Slot[] {
    const batch: Slot[] = [];
    let together = limits.eventsMax;
    let bytes = 0;
    while (batch.length < together) {
      const slot = nextIn(this.#ready, "ready");
      if (slot === undefined) break;
      bytes += slot.size;
      if (batch.length > 0 && (bytes > limits.bytesMax || slot.togetherMax <= batch.length)) break;
      this.#ready.shift();
      this.#move(slot, "sending");
      batch.push(slot);
      together = Math.min(together, slot.togetherMax);
      // At the end, so that a key with many events takes turns with the others.
      if (limits.followers && slot.behind?.state === "parked") this.#makeReady(slot.behind);
    }
    // Those that found no room are the last ones: they wait for what is in the batch.
    for (let slot = this.#ready.last(); slot?.ahead !== undefined; slot = this.#ready.last()) {
      this.#ready.pop();
      this.#move(slot, "parked");
    }
    return batch;
  }

  /** The event that shows best whether the target works: one that never failed, or else the one that was not asked for longest. */
  takeProbe(): Slot[] {
    const probe = this.#untried === 0 ? nextIn(this.#ready, "ready") : this.#firstUntried();
    if (probe === undefined) return [];
    // Out of the queue, wherever it stands: left there it would have two turns once it is given back.
    this.#ready.remove(probe);
    this.#move(probe, "sending");
    return [probe];
  }

  /** Tries the event again from `dueAt` on: from where it stood, the chain or the sink. */
  retryAt(slot: Slot, dueAt: number): void {
    slot.dueAt = dueAt;
    this.#move(slot, "waiting");
    this.#waiting.push({ dueAt, slot });
  }

  /** Puts an event behind all that are ready: it was not sent, or its failure says nothing about it. */
  giveBack(slot: Slot): void {
    this.#requeue(slot);
  }

  settle(slot: Slot, outcome: SlotOutcome): void {
    if (outcome.type !== "dead") this.#bytes -= slot.bytes.length;
    if (outcome.type !== "dead") slot.bytes = NOTHING;
    slot.event = undefined;
    slot.outcome = outcome;
    this.#move(slot, "settled");
    this.#sought = 0;
    const next = this.#lines.leave(slot);
    if (next === undefined) return;
    next.hasWaited = true;
    if (next.state === "parked") this.#makeReady(next);
  }

  /** When the next waiting event is due. */
  nextDueAt(): number | undefined {
    for (;;) {
      const entry = this.#waiting.peek();
      if (entry === undefined) return undefined;
      if (isCurrent(entry)) return entry.dueAt;
      this.#waiting.pop();
    }
  }

  /** Whether `collect` would give anything. */
  get hasSettled(): boolean {
    return this.#slots.peek()?.state === "settled";
  }

  /** Takes the contiguous settled prefix out; it counts towards the size until `committed`. */
  collect(): Slot[] {
    const prefix: Slot[] = [];
    for (let slot = this.#slots.peek(); slot?.state === "settled"; slot = this.#slots.peek()) {
      this.#slots.shift();
      this.#counts.settled -= 1;
      prefix.push(slot);
    }
    this.#collected += prefix.length;
    return prefix;
  }

  /** What `collect` gave is durable. */
  committed(prefix: readonly Slot[]): void {
    this.#collected -= prefix.length;
    for (const slot of prefix) this.#bytes -= slot.bytes.length;
  }

  /**
   * Whether only events are left that have failed, and some of them alone with no sign of life of the
   * target since: no telling whether they or the target are at fault until another event is tried.
   */
  needsWitness(aliveCount: number): boolean {
    if (this.#counts.fresh + this.#counts.preparing + this.#counts.sending > 0) return false;
    let isUnproven = false;
    for (const slot of this.#slots) {
      if (slot.state === "settled" || slot.state === "parked") continue;
      if (slot.tries === 0) return false;
      isUnproven ||= slot.failedAloneAt === aliveCount;
    }
    return isUnproven;
  }

  /** Whether all that could be tried now or later, before anything is settled or read, has been proven to fail. */
  get holdsOnlyProven(): boolean {
    if (this.#counts.fresh + this.#counts.preparing + this.#untried > 0) return false;
    for (const { state, isProven } of this.#slots)
      if (state !== "settled" && state !== "parked" && !isProven) return false;
    return true;
  }

  /** One more event is to be read, beyond all room, in search of one that could be tried. */
  seekWitness(): void {
    this.#sought = this.unsettled + 1;
  }

  /**
   * Gives up events at the end that nothing was done with, down to `keep` unsettled ones; they are
   * read again later. One that was never tried stays in any case: it tells most about the target.
   */
  shed(keep: number): void {
    const kept = this.#counts.parked > 0 ? Math.max(keep, this.#sought) : keep;
    for (let slot = this.#slots.last(); slot !== undefined && this.unsettled > kept; slot = this.#slots.last()) {
      const isLastUntried = slot.state !== "parked" && this.#counts.fresh + this.#untried <= 1;
      if (isLastUntried || slot.tries > 0) return;
      if (slot.state !== "fresh" && slot.state !== "ready" && slot.state !== "parked") return;
      this.#slots.pop();
      this.#lines.leave(slot);
      this.#uncount(slot);
      this.#bytes -= slot.bytes.length;
      this.#nextRead = slot.sequence;
      slot.state = "dropped";
      slot.bytes = NOTHING;
      slot.event = undefined;
    }
  }

  #firstUntried(): Slot | undefined {
    for (const slot of this.#ready) if (slot.state === "ready" && slot.tries === 0) return slot;
    return undefined;
  }

  #requeue(slot: Slot): void {
    if (slot.event === undefined) {
      this.#move(slot, "fresh");
      this.#fresh.push(slot);
    } else if (slot.ahead === undefined) this.#makeReady(slot);
    else this.#move(slot, "parked");
  }

  #makeReady(slot: Slot): void {
    this.#move(slot, "ready");
    this.#ready.push(slot);
  }

  /** Called before anything counts a try. */
  #uncount(slot: Slot): void {
    this.#counts[slot.state] -= 1;
    if (slot.state === "ready" && slot.tries === 0) this.#untried -= 1;
    if (slot.state === "ready" && slot.hasWaited) this.#released -= 1;
  }

  #move(slot: Slot, state: SlotState): void {
    this.#uncount(slot);
    this.#counts[state] += 1;
    if (state === "ready" && slot.tries === 0) this.#untried += 1;
    if (state === "ready" && slot.hasWaited) this.#released += 1;
    slot.state = state;
  }
}

/** Queues are not searched when an event leaves them by another way: what is stale is skipped here. */
function nextIn(queue: Fifo<Slot>, state: SlotState): Slot | undefined {
  for (let slot = queue.peek(); slot !== undefined; slot = queue.peek()) {
    if (slot.state === state) return slot;
    queue.shift();
  }
  return undefined;
}

function isCurrent({ dueAt, slot }: { readonly dueAt: number; readonly slot: Slot }): boolean {
  return slot.state === "waiting" && slot.dueAt === dueAt;
}
