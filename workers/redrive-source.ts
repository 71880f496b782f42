import { FAILED_AGAIN } from "../core/ingestion/jobs.ts";
import type { Gap, Slot, SlotOutcome } from "../core/ingestion/lane-slot.ts";
import type { DeadLetter, LaneId, LogEntry, Redriven } from "../core/ingestion/log.ts";
import { JobSource, type JobSourceOptions, notSelected, type Range } from "./job-source.ts";
import type { LaneSource, Stamp } from "./lane-source.ts";

/** Letters read in one go: each comes whole out of the store. */
const LETTERS_MAX = 100;
/** Attempts kept with a letter: the latest. */
const HISTORY_MAX = 32;

/** The dead letters of a lane once more: what is delivered leaves them in the commit that settles it. */
export class RedriveSource extends JobSource {
  readonly #of: LaneId;
  readonly #ids: ReadonlySet<number> | undefined;
  /** Letters read and not settled. */
  readonly #letters = new Map<number, DeadLetter>();

  constructor(options: JobSourceOptions & { readonly of: LaneId; readonly ids: ReadonlySet<number> | undefined }) {
    super(options);
    this.#of = options.of;
    this.#ids = options.ids;
  }

  protected async readRange({ from, to, limits }: Range): Promise<readonly (LogEntry | Gap)[]> {
    const { deps, order } = this.options;
    const limit = Math.min(limits.entries, LETTERS_MAX);
    const { deadLetters: kind } = order.selection;
    const after = { lane: this.#of, sequence: from - 1 };
    const letters = await deps.log.deadLetters({ ...kind, lane: this.#of, after, limit });
    const items: (LogEntry | Gap)[] = [];
    let at = from;
    for (const letter of letters) {
      const { sequence } = letter;
      if (sequence >= to) break;
      if (!this.#isAsked(letter)) continue;
      if (sequence > at) items.push(notSelected(at, sequence));
      at = sequence + 1;
      this.#letters.set(sequence, letter);
      items.push({ sequence, receivedAt: letter.receivedAt, bytes: letter.bytes });
    }
    const end = letters.length < limit ? to : Math.min(to, (letters.at(-1)?.sequence ?? to) + 1);
    if (at < end) items.push(notSelected(at, end));
    return items;
  }

  #isAsked(letter: DeadLetter): boolean {
    return (this.#ids?.has(letter.sequence) ?? true) && this.isSelected(letter);
  }

  override settle(prefix: readonly Slot[], stamp: Stamp): ReturnType<LaneSource["settle"]> {
    const redriven = prefix.flatMap((slot) => this.#redriven(slot) ?? []);
    const own = prefix.map((slot) => (slot.outcome?.type === "dead" ? { ...slot, outcome: FAILED } : slot));
    return { ...super.settle(own, stamp), redriven };
  }

  #redriven({ sequence, outcome }: Slot): Redriven | undefined {
    const letter = this.#letters.get(sequence);
    if (letter === undefined || outcome === undefined) return undefined;
    this.#letters.delete(sequence);
    const id = { lane: this.#of, sequence };
    if (outcome.type !== "dead") return { ...id, outcome };
    const attempts = [...letter.attempts, ...outcome.deadLetter.attempts].slice(-HISTORY_MAX);
    return { ...id, outcome: { type: "dead", deadLetter: { ...outcome.deadLetter, lane: this.#of, attempts } } };
  }
}

const FAILED: SlotOutcome = { type: "filtered", reason: FAILED_AGAIN };
