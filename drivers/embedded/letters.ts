import { setImmediate as nextTurn } from "node:timers/promises";
import type { Database, RootDatabase } from "lmdb";
import { PulseGateError } from "../../core/canonical/errors.ts";
import { fits, type GroupCount, joined, parted } from "../../core/ingestion/dead-letters.ts";
import type { DeadLetter, DeadLetterFilter, DeadLetterQuery, DeadLetterRange } from "../../core/ingestion/log.ts";
import { LetterKeys } from "./letter-keys.ts";
import { openedLetter, type SealedLetter, sealedLetter } from "./sealed-letter.ts";

export type Place = [key: string, sequence: number];
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
 * letters is to be called within a transaction of the environment; keys are lane keys. Whatever may tell of an
 * event's payload is sealed, each letter with a key of its own in `keys`, and goes for good with that.
 */
export class LetterStore {
  readonly keys: LetterKeys;
  private readonly letters: Database<SealedLetter, Place>;
  private readonly counts: Database<GroupCount, Kind>;
  private readonly index: Database<true, Indexed>;

  /** `folder`: of the environment. */
  constructor(env: RootDatabase, folder: string) {
    this.keys = new LetterKeys(env, folder);
    this.letters = env.openDB<SealedLetter, Place>({ name: "dead-letters" });
    this.counts = env.openDB<GroupCount, Kind>({ name: "dead-letter-counts" });
    this.index = env.openDB<true, Indexed>({ name: "dead-letter-index" });
  }

  get(key: string, sequence: number): DeadLetter | undefined {
    const letter = this.letters.get([key, sequence]);
    return letter && this.opened(key, letter);
  }

  /** Undefined when the letter went meanwhile. */
  private opened(key: string, letter: SealedLetter): DeadLetter | undefined {
    const opened = openedLetter(this.keys, letter);
    if (opened !== undefined) return opened;
    // What was read may be of a moment ago, and another thread have removed it since.
    this.letters.resetReadTxn();
    if (this.letters.get([key, letter.sequence])?.key !== letter.key) return undefined;
    const place = `${key}/${letter.sequence}`;
    throw new PulseGateError("log_corrupt", `The dead letter ${place} can't be opened: its key is not in letter-keys.`);
  }

  has(key: string, sequence: number): boolean {
    return this.letters.doesExist([key, sequence]);
  }

  /** Takes the place of what is there. */
  put(key: string, letter: DeadLetter): void {
    const kind = kindOf(key, letter);
    // A group's message is a letter's, and is read there.
    void this.counts.put(kind, joined(this.counts.get(kind), { ...letter, message: "" }));
    this.remove(key, letter.sequence);
    void this.letters.put([key, letter.sequence], sealedLetter(this.keys, letter));
    void this.index.put([...kind, letter.sequence], true);
  }

  /** Whether it was there. */
  remove(key: string, sequence: number): boolean {
    const letter = this.letters.get([key, sequence]);
    if (letter === undefined) return false;
    const kind = kindOf(key, letter);
    void this.letters.remove([key, sequence]);
    this.keys.spend(letter.key);
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
    return [...range.map(({ value }) => value)].flatMap((letter) => this.opened(key, letter) ?? []);
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
    const kinds = [...this.kinds(key, range)].map((count) => ({ ...count, message: this.messageOf(key, count) }));
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

  /** Of the last letter of the kind. */
  private messageOf(key: string, { fingerprint, eventType }: GroupCount): string {
    const start: Indexed = [key, fingerprint, eventType, END];
    const range = { start, end: [key, fingerprint, eventType, -1] as Indexed, reverse: true, limit: 1 };
    const [last] = [...this.index.getKeys(range)];
    return (last && this.get(key, last[3])?.message) ?? "";
  }

  /** Seals some of what an older version kept as it was; the place to go on from, undefined behind the last. */
  sealSome(from: Place | undefined, limit: number): Place | undefined {
    const range = from === undefined ? { limit } : { start: from, limit };
    const rows = [...this.letters.getRange(range).map(({ key, value }) => ({ key, value }))];
    for (const { key, value } of rows)
      if (!("sealed" in value)) void this.letters.put(key, sealedLetter(this.keys, value));
    if (rows.length === limit) return rows.at(-1)?.key;
    for (const { key, value } of [...this.counts.getRange({}).map((row) => ({ key: row.key, value: row.value }))])
      void this.counts.put(key, { ...value, message: "" });
    return undefined;
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

  private first(key: string, sequence: number): SealedLetter | undefined {
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

function kindOf(key: string, { fingerprint, eventType }: Pick<DeadLetter, "fingerprint" | "eventType">): Kind {
  return [key, fingerprint, eventType];
}
