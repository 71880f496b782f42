import type { AppendEntry } from "../../core/ingestion/log.ts";
import { FairQueue } from "../../core/qps/fair-queue.ts";

export interface Queued {
  readonly entry: AppendEntry;
  /** What it takes of a commit. */
  readonly frameBytes: number;
  /** Monotonic milliseconds, if it had to wait for more than one commit. */
  queuedAt: number;
}

export interface CommitBatch<T> {
  readonly entries: T[];
  /** When the first of them came; monotonic milliseconds. */
  readonly since: number;
}

/** Bytes that one tenant puts into a commit before it is the next one's turn. */
const TURN_BYTES = 64 * 1024;

/**
 * What waits for the next commits. As long as one commit takes it all, that is a plain list; beyond
 * that, tenants take turns, so that one's flood or large batch does not hold up the others.
 */
export class CommitQueue<T extends Queued> {
  #fresh: T[] = [];
  #freshBytes = 0;
  #freshSince = 0;
  readonly #left = new FairQueue<T>({ costOf: (entry) => entry.frameBytes, quantum: TURN_BYTES });

  get length(): number {
    return this.#fresh.length + this.#left.size;
  }

  /** Of what no commit had to leave behind. */
  get freshBytes(): number {
    return this.#freshBytes;
  }

  push(entry: T, now: () => number): void {
    if (this.#fresh.length === 0) this.#freshSince = now();
    this.#fresh.push(entry);
    this.#freshBytes += entry.frameBytes;
  }

  /** Bytes of the entry that a commit of at most `bytesMax` begins with; 0 when nothing waits. */
  nextBytes(bytesMax: number): number {
    if (this.#left.size > 0 || this.#freshBytes > bytesMax) this.#takeTurns();
    const next = this.#left.size > 0 ? this.#left.peek() : this.#fresh[0];
    return next?.frameBytes ?? 0;
  }

  /** Takes as much as fits a commit; one entry at least, however large, if one waits. */
  take(bytesMax: number): CommitBatch<T> {
    if (this.#left.size > 0 || this.#freshBytes > bytesMax) return this.#takeFair(bytesMax);
    const batch = { entries: this.#fresh, since: this.#freshSince };
    this.#clearFresh();
    return batch;
  }

  /** Takes all, in no promised order. */
  drain(): T[] {
    const all = [...this.#left.drain(), ...this.#fresh];
    this.#clearFresh();
    return all;
  }

  #takeFair(bytesMax: number): CommitBatch<T> {
    this.#takeTurns();
    const entries: T[] = [];
    let since = Number.POSITIVE_INFINITY;
    let room = Number.POSITIVE_INFINITY;
    for (let entry = this.#left.take(room); entry !== undefined; entry = this.#left.take(room)) {
      if (entries.length === 0) room = bytesMax;
      room -= entry.frameBytes;
      since = Math.min(since, entry.queuedAt);
      entries.push(entry);
    }
    return { entries, since };
  }

  #takeTurns(): void {
    for (const entry of this.#fresh) {
      entry.queuedAt = this.#freshSince;
      this.#left.push(entry.entry.stream.tenantId, entry, entry.entry.weight);
    }
    this.#clearFresh();
  }

  #clearFresh(): void {
    this.#fresh = [];
    this.#freshBytes = 0;
  }
}
