import { PulseGateError } from "../../core/canonical/errors.ts";
import type { Clock, Random } from "../../core/environment.ts";

/** What goes wrong, and how often. Chances lie in [0, 1]; an absent one is 0. */
export interface MemoryFaults {
  /** Each call waits up to so long before its effect, and again before its answer. */
  readonly delayMsMax?: number;
  /** Chance that an append or a commit is refused with `log_unavailable`, nothing stored. */
  readonly failure?: number;
  /** Chance that an append or a commit is stored, yet answered with `log_unavailable`. */
  readonly unknown?: number;
  /** Chance that any other call is refused with `log_unavailable`. */
  readonly readFailure?: number;
  /** Chance that a commit which carries dead letters is refused with `log_unavailable`. */
  readonly deadLetterFailure?: number;
  /** Chance, per lane commit, that another owner takes the slot first. */
  readonly lostClaim?: number;
  /** How long that other owner keeps the slot at most. */
  readonly lostClaimMsMax?: number;
  /** Chance, per append, that storage becomes full. */
  readonly full?: number;
  /** How long it stays full at most. */
  readonly fullMsMax?: number;
  /** Chance that a call in flight at `restart` still takes effect. */
  readonly keepInFlight?: number;
}

/** The seeded dice of a faulty log. Faults can be switched off and on again, to let a run come to its end. */
export class FaultDice {
  readonly #faults: MemoryFaults;
  readonly #random: Random;
  readonly #clock: Clock;
  #fullUntil = Number.NEGATIVE_INFINITY;
  enabled = true;

  constructor(options: { faults: MemoryFaults; random: Random; clock: Clock }) {
    this.#faults = options.faults;
    this.#random = options.random;
    this.#clock = options.clock;
  }

  /** True as often as the chance says. Draws nothing while the fault is off, so that adding one fault does not reshuffle the others. */
  happens(fault: keyof MemoryFaults): boolean {
    const chance = this.#faults[fault] ?? 0;
    return this.enabled && chance > 0 && this.#random() < chance;
  }

  /** A length of time up to the fault's maximum. */
  durationMs(fault: "delayMsMax" | "lostClaimMsMax" | "fullMsMax"): number {
    return Math.floor(this.#random() * (this.#faults[fault] ?? 0));
  }

  async delay(): Promise<void> {
    if (!this.enabled || (this.#faults.delayMsMax ?? 0) <= 0) return;
    await this.#clock.sleep(this.durationMs("delayMsMax"));
  }

  /** Throws `log_full` during a full phase; may begin one. */
  checkSpace(): void {
    if (!this.enabled) return;
    if (this.happens("full")) this.#fullUntil = this.#clock.monotonic() + this.durationMs("fullMsMax");
    if (this.#clock.monotonic() < this.#fullUntil) {
      throw new PulseGateError("log_full", "the in-memory log is in a full phase");
    }
  }
}
