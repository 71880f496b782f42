/** A refusal waits at least so long: whoever sends again at once has cost the machine nothing meanwhile. */
const WAIT_MS_MIN = 100;
/** And at most so long: no more than a client is asked to stay away for. */
const WAIT_MS_MAX = 1_000;
/** Answers leave so far apart, as long as that keeps to the most. */
const APART_MS = 2;

/**
 * When those who are refused for want of room get their answer. A client that sends again as soon as it is answered
 * costs as much as it is answered often: so the answers leave at a steady pace, and the more are refused, the longer
 * each waits. Beyond the most, they spread over its second half.
 */
export class Pacing {
  #last = Number.NEGATIVE_INFINITY;

  /** When the next refusal is to be answered; monotonic milliseconds. */
  answerAt(now: number): number {
    const next = Math.max(now + WAIT_MS_MIN, this.#last + APART_MS);
    this.#last = next <= now + WAIT_MS_MAX ? next : now + WAIT_MS_MAX / 2;
    return this.#last;
  }
}
