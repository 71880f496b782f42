/**
 * The ids of one segment that has no sidecar yet, in memory: open addressing, 12 bytes a slot
 * (64-bit hash, place in the segment), at most 70 % full. A table that fills up gets a second one
 * beside it: nothing is ever moved, so no append pays for a rehash.
 */
const SLOTS = 1 << 17;
const MASK = SLOTS - 1;
const USED_MAX = Math.floor(SLOTS * 0.7);
export const RECENT_TABLE_BYTES = SLOTS * 12;

export class RecentIds {
  readonly segment: number;
  ids = 0;
  private readonly tables: Uint32Array[] = [];
  private used = USED_MAX;

  constructor(segment: number) {
    this.segment = segment;
  }

  get bytes(): number {
    return this.tables.length * RECENT_TABLE_BYTES;
  }

  /** `offset` is where the frame starts in the segment, a multiple of 8. */
  add(hi: number, lo: number, offset: number): void {
    if (this.used === USED_MAX) {
      this.tables.push(new Uint32Array(SLOTS * 3));
      this.used = 0;
    }
    const table = this.tables[this.tables.length - 1] as Uint32Array;
    let slot = (lo & MASK) * 3;
    while (table[slot + 2] !== 0) slot = slot === MASK * 3 ? 0 : slot + 3;
    table[slot] = hi;
    table[slot + 1] = lo;
    table[slot + 2] = offset >>> 3;
    this.used++;
    this.ids++;
  }

  /** Appends the places that carry this hash to `before`, newest first; mostly there is none, and no list. */
  collect(hi: number, lo: number, before: Place[] | undefined): Place[] | undefined {
    let found = before;
    for (let i = this.tables.length - 1; i >= 0; i--) {
      const known = found?.length ?? 0;
      found = this.collectFrom(this.tables[i] as Uint32Array, hi, lo, found);
      // Within a table, later ids lie further along the probe.
      if (found !== undefined && found.length > known + 1) found.push(...found.splice(known).reverse());
    }
    return found;
  }

  private collectFrom(table: Uint32Array, hi: number, lo: number, before: Place[] | undefined): Place[] | undefined {
    let found = before;
    let slot = (lo & MASK) * 3;
    for (let place = table[slot + 2] as number; place !== 0; place = table[slot + 2] as number) {
      if (table[slot] === hi && table[slot + 1] === lo) {
        found ??= [];
        found.push({ segment: this.segment, offset: place * 8 });
      }
      slot = slot === MASK * 3 ? 0 : slot + 3;
    }
    return found;
  }
}

/** Where a frame starts. */
export interface Place {
  readonly segment: number;
  readonly offset: number;
}
