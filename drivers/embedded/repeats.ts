import type { Candidates, IdIndex } from "./id-index.ts";
import { placesInSidecars } from "./id-index.ts";
import type { NameField, PendingEntry, RepeatFinder, Suspicion } from "./intake.ts";
import type { LogFiles } from "./files.ts";
import { readRecord, type StoredRecord } from "./records.ts";
import type { SegmentRange } from "./reader.ts";

export interface RepeatsOptions {
  readonly ids: IdIndex;
  readonly files: LogFiles;
  readonly range: SegmentRange;
  readonly windowMs: number;
  /** Wall time that never falls. */
  readonly now: () => number;
}

/** Tells repeats of durable events: a hash that is known is never believed, the stored event is read and compared. */
export class Repeats implements RepeatFinder {
  private readonly options: RepeatsOptions;

  constructor(options: RepeatsOptions) {
    this.options = options;
  }

  suspect(pending: PendingEntry, field: NameField): Suspicion | undefined {
    const { ids, files } = this.options;
    const { entry } = pending;
    const isId = field === "event_id";
    if (!isId && entry.idempotencyKey === undefined) return undefined;
    const candidates = isId ? ids.candidates(pending.idHi, pending.idLo) : ids.candidates(pending.keyHi, pending.keyLo);
    if (candidates === undefined) return undefined;
    const { tenantId } = entry.stream;
    const isMatch = (record: StoredRecord): boolean => {
      if (record.stream.tenantId !== tenantId) return false;
      return isId ? record.eventId === entry.eventId : record.idempotencyKey === entry.idempotencyKey;
    };
    return { version: versionOf(candidates), resolve: () => files.use(() => this.first(candidates, isMatch)) };
  }

  /** The newest match within the window. */
  private async first(
    candidates: Candidates,
    isMatch: (record: StoredRecord) => boolean,
  ): Promise<StoredRecord | undefined> {
    const since = this.options.now() - this.options.windowMs;
    for await (const place of this.places(candidates)) {
      const record = await readRecord(this.options.files, place);
      if (record === undefined) continue;
      // Newest first: whatever follows is older still.
      if (record.receivedAt <= since) return undefined;
      if (isMatch(record)) return record;
    }
    return undefined;
  }

  private async *places({ hash, recent, groups }: Candidates) {
    const { files, range } = this.options;
    yield* recent;
    for (const { first, last } of groups)
      yield* placesInSidecars(files, hash, { from: Math.max(first, range.firstSegment), to: last });
  }
}

/**
 * The newest place is enough: places are only ever added, or move from a table to a sidecar. The last
 * segment of the newest filter counts as well, for a place may come and move within one lookup.
 */
function versionOf({ recent: [place], groups: [group] }: Candidates): number {
  return place === undefined ? (group?.last ?? 0) * 2 ** 32 : place.segment * 2 ** 32 + place.offset;
}
