import type { Slot } from "./lane-slot.ts";

/** The unsettled events of one key, in the log's order: linked by `ahead` and `behind`. */
interface KeyLine {
  readonly key: string;
  last: Slot;
}

/** Who waits for whom, where events of one key go one after another. */
export class KeyLines {
  readonly #lines = new Map<string, KeyLine>();

  /** The slot stands behind all others of its key. */
  join(slot: Slot): void {
    if (slot.key === undefined) return;
    const line = this.#lines.get(slot.key);
    if (line === undefined) {
      this.#lines.set(slot.key, { key: slot.key, last: slot });
      return;
    }
    slot.ahead = line.last;
    line.last.behind = slot;
    line.last = slot;
  }

  /** Takes the slot out, wherever it stands. Returns the one that is first in its place, if it was the first. */
  leave(slot: Slot): Slot | undefined {
    const { key, ahead, behind } = slot;
    const line = key === undefined ? undefined : this.#lines.get(key);
    if (line === undefined) return undefined;
    slot.ahead = undefined;
    slot.behind = undefined;
    if (ahead !== undefined) ahead.behind = behind;
    if (behind !== undefined) behind.ahead = ahead;
    else if (ahead !== undefined) line.last = ahead;
    else this.#lines.delete(line.key);
    return ahead === undefined ? behind : undefined;
  }
}
