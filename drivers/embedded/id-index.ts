import { filterHas } from "./bloom.ts";
import type { FilterGroup } from "./filters.ts";
import type { LogFiles } from "./files.ts";
import type { Indexed } from "./keeper.ts";
import { type Place, RecentIds } from "./recent-ids.ts";
import { findIds } from "./sidecar-reader.ts";

interface Group {
  readonly facts: FilterGroup;
  readonly words: Int32Array;
}

export interface IdHash {
  readonly hi: number;
  readonly lo: number;
}

/** Where an id may be: places that carry its hash, and groups of segments whose filter has it. */
export interface Candidates {
  readonly hash: IdHash;
  readonly recent: readonly Place[];
  readonly groups: readonly FilterGroup[];
}

/**
 * Finds the places of event ids and idempotency keys by hash. Segments without a sidecar have their
 * ids in tables here; of all others only filters are in memory. Beyond `bytesMax` the oldest filters
 * are let go: their ids are then no longer recognised as repeats.
 */
export class IdIndex {
  private readonly bytesMax: number;
  private recent: RecentIds[] = [];
  private groups: Group[] = [];
  /** Ids within the window were let go because of `bytesMax`. */
  private hasLetGo = false;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  /** The id's event lies at this place; places come in order. */
  add(hi: number, lo: number, segment: number, offset: number): void {
    let table = this.recent.length === 0 ? undefined : this.recent[this.recent.length - 1];
    if (table?.segment !== segment) {
      table = new RecentIds(segment);
      this.recent.push(table);
    }
    table.add(hi, lo, offset);
  }

  /** Undefined: surely new. Costs no I/O. */
  candidates(hi: number, lo: number): Candidates | undefined {
    let recent: Place[] | undefined;
    for (let i = this.recent.length - 1; i >= 0; i--) recent = (this.recent[i] as RecentIds).collect(hi, lo, recent);
    let groups: FilterGroup[] | undefined;
    for (let i = this.groups.length - 1; i >= 0; i--) {
      const group = this.groups[i] as Group;
      if (!filterHas(group.words, hi, lo)) continue;
      groups ??= [];
      groups.push(group.facts);
    }
    if (recent === undefined && groups === undefined) return undefined;
    return { hash: { hi, lo }, recent: recent ?? [], groups: groups ?? [] };
  }

  /** `isShortened`: there was no room for the filters of the whole window. */
  load(groups: readonly FilterGroup[], isShortened: boolean): void {
    this.groups = groups.map((facts) => ({ facts, words: new Int32Array(facts.bits) }));
    this.hasLetGo = isShortened;
  }

  /** The segment's ids are in its sidecar and in the group's filter now. */
  sealed({ segment, group }: Indexed): void {
    this.recent = this.recent.filter((table) => table.segment !== segment);
    if (this.groups.at(-1)?.facts.first === group.first) this.groups.pop();
    this.groups.push({ facts: group, words: new Int32Array(group.bits) });
    while (this.groups.length > 1 && this.bytes > this.bytesMax) {
      this.groups.shift();
      this.hasLetGo = true;
    }
  }

  /** Lets go of filters whose newest id is older than `time`, and of those whose segments are all gone. */
  expire(options: { before: number; firstSegment: number }): void {
    while (this.groups.length > 0) {
      const { lastAt, last } = (this.groups[0] as Group).facts;
      if (lastAt >= options.before && last >= options.firstSegment) return;
      this.groups.shift();
    }
  }

  get ids(): number {
    return sum(this.recent, (table) => table.ids) + sum(this.groups, (group) => group.facts.ids);
  }

  get bytes(): number {
    return sum(this.recent, (table) => table.bytes) + sum(this.groups, (group) => group.words.byteLength);
  }

  /** The oldest segment whose ids are known in memory; undefined when there is none. */
  get firstSegment(): number | undefined {
    return this.groups[0]?.facts.first ?? this.recent[0]?.segment;
  }

  /** From when on ids are recognised, if that is less than the window. */
  get knownSince(): number | undefined {
    return this.hasLetGo ? this.groups[0]?.facts.firstAt : undefined;
  }
}

/** The places of a hash in the sidecars of some segments, newest first. */
export async function* placesInSidecars(
  files: LogFiles,
  hash: IdHash,
  range: { from: number; to: number },
): AsyncGenerator<Place> {
  for (let segment = range.to; segment >= range.from; segment--) {
    const sidecar = files.sidecar(segment);
    if (sidecar === undefined) continue;
    for (const offset of await findIds(sidecar, hash, files.readAt)) yield { segment, offset };
  }
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  let total = 0;
  for (const item of items) total += of(item);
  return total;
}
