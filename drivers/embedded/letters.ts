import { setImmediate as nextTurn } from "node:timers/promises";
import type { Database, RootDatabase } from "lmdb";
import { fits, type GroupCount, joined, parted } from "../../core/ingestion/dead-letters.ts";
import type { DeadLetter, DeadLetterFilter, DeadLetterQuery, DeadLetterRange } from "../../core/ingestion/log.ts";

type Place = [key: string, sequence: number];
type Kind = [key: string, fingerprint: string, eventType: string];
type Indexed = [key: string, fingerprint: string, eventType: string, sequence: number];

const END = Number.MAX_SAFE_INTEGER;
/** Behind every fingerprint, which is hexadecimal. */
const BEHIND_ALL = "g";
/** Keys that are counted in one turn of the event loop: some milliseconds. */
const COUNTED_AT_ONCE = 20_000;

interface Piece {
  readonly events: number;
  /** The sequence to go on with; undefined when that was the last piece. */
  readonly next: number | undefined;
}

interface Part {
  readonly from: number;
  readonly to: number;
  readonly limit: number;
}

/**
 * The dead letters, and beside them what makes a page or the groups cheap to find among millions: how many
 * there are of each kind (lane, fingerprint, event type), and where those of a kind lie. What changes
 * letters is to be called within a transaction of the environment; keys are lane keys.
 */
export class LetterStore {
  private readonly letters: Database<DeadLetter, Place>;
  private readonly counts: Database<GroupCount, Kind>;
  private readonly index: Database<true, Indexed>;

  constructor(env: RootDatabase) {
    this.letters = env.openDB<DeadLetter, Place>({ name: "dead-letters" });
    this.counts = env.openDB<GroupCount, Kind>({ name: "dead-letter-counts" });
    this.index = env.openDB<true, Indexed>({ name: "dead-letter-index" });
  }

  get(key: string, sequence: number): DeadLetter | undefined {
    const letter = this.letters.get([key, sequence]);
    return letter === undefined ? undefined : detached(letter);
  }

  has(key: string, sequence: number): boolean {
    return this.letters.doesExist([key, sequence]);
  }

  /** Takes the place of what is there. */
  put(key: string, letter: DeadLetter): void {
    const kind = kindOf(key, letter);
    void this.counts.put(kind, joined(this.counts.get(kind), letter));
    this.remove(key, letter.sequence);
    void this.letters.put([key, letter.sequence], letter);
    void this.index.put([...kind, letter.sequence], true);
  }

  /** After removals for good: no group tells what a letter that is gone said. */
  forgetMessages(key: string): void {
    for (const { key: kind, value } of [
      ...this.counts.getRange({ start: [key, "", ""], end: [key, BEHIND_ALL, ""] }),
    ]) {
      const [lane, fingerprint, eventType] = kind;
      const range = { start: [...kind, 0] as Indexed, end: [lane, fingerprint, eventType, END] as Indexed, limit: 1 };
      const [first] = [...this.index.getKeys(range)];
      const message = first === undefined ? undefined : this.letters.get([key, first[3]])?.message;
      if (message !== undefined && message !== value.message) void this.counts.put(kind, { ...value, message });
    }
  }

  /** Whether it was there. */
  remove(key: string, sequence: number): boolean {
    const letter = this.letters.get([key, sequence]);
    if (letter === undefined) return false;
    const kind = kindOf(key, letter);
    void this.letters.remove([key, sequence]);
    void this.index.remove([...kind, sequence]);
    const count = this.counts.get(kind);
    const left = count === undefined ? undefined : parted(count);
    if (left === undefined) void this.counts.remove(kind);
    else void this.counts.put(kind, left);
    return true;
  }

  /** Removes the first letters of a lane; how many. */
  drop(key: string, limit: number): number {
    const places = [...this.letters.getKeys({ start: [key, 0], end: [key, END], limit })];
    for (const [, sequence] of places) this.remove(key, sequence);
    return places.length;
  }

  /** Letters of one lane, in order. */
  page(key: string, query: DeadLetterQuery, { after, limit }: { after: number; limit: number }): DeadLetter[] {
    const { from, to } = this.span(key, query);
    const part = { from: Math.max(after + 1, from), to, limit };
    if (query.fingerprint !== undefined || query.stage !== undefined || query.eventType !== undefined)
      return this.ofKinds(key, query, part);
    const range = this.letters.getRange({ start: [key, part.from], end: [key, to], limit });
    return [...range.map(({ value }) => detached(value))];
  }

  private ofKinds(key: string, filter: DeadLetterFilter, { from, to, limit }: Part): DeadLetter[] {
    const found: number[] = [];
    for (const { fingerprint, eventType } of this.kinds(key, filter)) {
      const start: Indexed = [key, fingerprint, eventType, from];
      for (const one of this.index.getKeys({ start, end: [key, fingerprint, eventType, to], limit }))
        found.push(one[3]);
    }
    const first = found.sort((a, b) => a - b).slice(0, limit);
    return first.flatMap((sequence) => this.get(key, sequence) ?? []);
  }

  /**
   * What there is of each kind in one lane, with how many of them are of the time asked for. Those of a time are
   * counted one by one; the event loop has its turn between each few milliseconds of that.
   */
  async counted(key: string, range: DeadLetterRange): Promise<GroupCount[]> {
    const kinds = [...this.kinds(key, range)];
    if (range.receivedFrom === undefined && range.receivedTo === undefined) return kinds;
    const { from, to } = this.span(key, range);
    const counted: GroupCount[] = [];
    let sinceRest = 0;
    for (const count of from < to ? kinds : []) {
      let events = 0;
      for (let at: number | undefined = from; at !== undefined; ) {
        const piece: Piece = this.countPiece([key, count.fingerprint, count.eventType], { from: at, to });
        events += piece.events;
        at = piece.next;
        sinceRest += piece.events;
        if (sinceRest < COUNTED_AT_ONCE) continue;
        sinceRest = 0;
        await nextTurn();
      }
      if (events > 0) counted.push({ ...count, events });
    }
    return counted;
  }

  /** Skips over so many without reading them. */
  private countPiece(kind: Kind, { from, to }: Pick<Part, "from" | "to">): Piece {
    const range = { start: [...kind, from] as Indexed, end: [...kind, to] as Indexed };
    const [next] = [...this.index.getKeys({ ...range, offset: COUNTED_AT_ONCE, limit: 1 })];
    if (next !== undefined) return { events: COUNTED_AT_ONCE, next: next[3] };
    return { events: this.index.getKeysCount(range), next: undefined };
  }

  private *kinds(key: string, filter: DeadLetterFilter): Generator<GroupCount> {
    for (const { value } of this.counts.getRange({ start: [key, "", ""], end: [key, BEHIND_ALL, ""] }))
      if (fits(value, { ...filter, tenantId: undefined, sink: undefined })) yield value;
  }

  /** The sequences of a time: `from ≤ s < to`. */
  private span(key: string, { receivedFrom, receivedTo }: DeadLetterRange): Pick<Part, "from" | "to"> {
    return {
      from: receivedFrom === undefined ? 0 : this.firstReceived(key, receivedFrom),
      to: receivedTo === undefined ? END : this.firstReceived(key, receivedTo),
    };
  }

  /** How many letters of a lane there are, by counting them. */
  count(key: string): number {
    return this.letters.getKeysCount({ start: [key, 0], end: [key, END] });
  }

  /** Times of acceptance never fall within a lane: the first sequence to look at is found by halving. */
  private firstReceived(key: string, receivedAt: number): number {
    let from = this.first(key, 0)?.sequence ?? 0;
    let to = this.last(key);
    while (from < to) {
      const middle = Math.floor((from + to) / 2);
      const letter = this.first(key, middle);
      if (letter === undefined || letter.sequence >= to || letter.receivedAt >= receivedAt) to = middle;
      else from = letter.sequence + 1;
    }
    return from;
  }

  private first(key: string, sequence: number): DeadLetter | undefined {
    for (const { value } of this.letters.getRange({ start: [key, sequence], end: [key, END], limit: 1 })) return value;
    return undefined;
  }

  /** One past the last. */
  private last(key: string): number {
    const range = { start: [key, END] as Place, end: [key, -1] as Place, limit: 1, reverse: true };
    for (const [, sequence] of this.letters.getKeys(range)) return sequence + 1;
    return 0;
  }
}

function kindOf(key: string, { fingerprint, eventType }: DeadLetter): Kind {
  return [key, fingerprint, eventType];
}

/** What LMDB decodes may lie in memory that the next read reuses. */
function detached(letter: DeadLetter): DeadLetter {
  return { ...letter, bytes: Buffer.from(letter.bytes) };
}
