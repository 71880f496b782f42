import { fits, type GroupCount, isAskedFor, joined, parted } from "../../core/ingestion/dead-letters.ts";
import type { DeadLetter, DeadLetterRange } from "../../core/ingestion/log.ts";

/** The dead letters of one lane of the in-memory log, and how many there are of each kind. */
export class LaneLetters {
  /** Commits move forward only, so the map is in order of sequence. */
  readonly #letters = new Map<number, DeadLetter>();
  readonly #counts = new Map<string, GroupCount>();

  get size(): number {
    return this.#letters.size;
  }

  get(sequence: number): DeadLetter | undefined {
    return this.#letters.get(sequence);
  }

  all(): Iterable<DeadLetter> {
    return this.#letters.values();
  }

  /** Takes the place of what is there. */
  put(letter: DeadLetter): void {
    const kind = kindOf(letter);
    this.#counts.set(kind, joined(this.#counts.get(kind), letter));
    this.#uncount(letter.sequence);
    this.#letters.set(letter.sequence, letter);
  }

  /** Whether it was there. */
  remove(sequence: number): boolean {
    this.#uncount(sequence);
    return this.#letters.delete(sequence);
  }

  /** What there is of each kind, with how many of them are asked for. */
  *counted(range: DeadLetterRange): Generator<GroupCount> {
    for (const [kind, count] of this.#counts) {
      if (!fits(count, { ...range, tenantId: undefined, sink: undefined })) continue;
      const asked = [...this.#letters.values()].filter((one) => kindOf(one) === kind && isAskedFor(one, range));
      if (asked.length > 0) yield { ...count, events: asked.length };
    }
  }

  #uncount(sequence: number): void {
    const letter = this.#letters.get(sequence);
    if (letter === undefined) return;
    const kind = kindOf(letter);
    const left = parted(this.#counts.get(kind) as GroupCount);
    if (left === undefined) this.#counts.delete(kind);
    else this.#counts.set(kind, left);
  }
}

function kindOf({ fingerprint, eventType }: DeadLetter): string {
  return `${fingerprint} ${eventType}`;
}
