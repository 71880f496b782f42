import type { Timer, Timers } from "./timers.ts";

interface Waiter {
  resume(): void;
}

/** A job gets a turn after so long at the latest, however busy the live lanes are: slow is not stuck. */
const PATIENCE_MS = 250;
/** While live events come, a job takes at most so much of the time: its targets and its threads share cores with theirs. */
const BESIDE_LIVE_SHARE = 1 / 3;
/** How long after a live delivery more of them are to be expected. */
const LIVE_MS = 1_000;
const NOW = Number.NEGATIVE_INFINITY;

/**
 * Who may deliver. Live lanes: always. Lanes of jobs: one at a time, only while no live lane has a
 * delivery out, and after each turn a rest that leaves the rest of the idle time to others.
 */
export class Turns {
  readonly #timers: Timers;
  readonly #waiting = new Set<Waiter>();
  #live = 0;
  #liveAt = NOW;
  #job: Waiter | undefined;
  #beganAt = 0;
  #restUntil = NOW;
  #alarm: Timer | undefined;
  #alarmAt = Number.POSITIVE_INFINITY;

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  /** A live lane's delivery begins. */
  enter(): void {
    this.#live += 1;
  }

  /** It is over. Jobs are asked a moment later: the lane may have the next one ready. */
  leave(): void {
    this.#live -= 1;
    this.#liveAt = this.#timers.now();
    if (this.#live === 0 && this.#waiting.size > 0) this.#wakeAt(this.#timers.now());
  }

  /** Whether a job's lane may deliver now, and then must say `done`; if not, it is resumed when it may ask again. */
  take(lane: Waiter): boolean {
    const now = this.#timers.now();
    const readyAt = this.#readyAt();
    if (this.#job === undefined && now >= readyAt) {
      this.#waiting.delete(lane);
      this.#job = lane;
      this.#beganAt = now;
      return true;
    }
    this.#waiting.add(lane);
    if (this.#job === undefined) this.#wakeAt(readyAt);
    return false;
  }

  /** The turn is over. `idleShare`: the part of the idle time that the job may take. */
  done(idleShare: number): void {
    const now = this.#timers.now();
    this.#job = undefined;
    const isAlone = this.#live === 0 && now >= this.#liveAt + LIVE_MS;
    const share = isAlone ? idleShare : Math.min(idleShare, BESIDE_LIVE_SHARE);
    this.#restUntil = now + (now - this.#beganAt) * (1 / share - 1);
    if (this.#waiting.size > 0) this.#wakeAt(this.#readyAt());
  }

  /** The turn came to nothing. */
  giveBack(): void {
    this.#job = undefined;
    if (this.#waiting.size > 0) this.#wakeAt(this.#readyAt());
  }

  leaveQueue(lane: Waiter): void {
    this.#waiting.delete(lane);
  }

  #readyAt(): number {
    const free = this.#live === 0 ? NOW : this.#beganAt + PATIENCE_MS;
    return Math.max(free, this.#restUntil);
  }

  #wakeAt(at: number): void {
    if (at >= this.#alarmAt) return;
    this.#alarm?.cancel();
    this.#alarmAt = at;
    this.#alarm = this.#timers.after(at - this.#timers.now(), () => {
      this.#alarmAt = Number.POSITIVE_INFINITY;
      // In the order in which they came to wait; the first that takes it makes the others wait again.
      for (const lane of [...this.#waiting]) {
        this.#waiting.delete(lane);
        lane.resume();
        if (this.#job !== undefined) return;
      }
    });
  }
}
