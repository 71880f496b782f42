import type { Position } from "../../core/ingestion/log.ts";
import { type Candidates, type IdIndex, placesInSidecars } from "./id-index.ts";
import type { LogFiles } from "./files.ts";
import type { SegmentRange } from "./reader.ts";
import { readRecord, type StoredRecord } from "./records.ts";
import type { StreamTable } from "./streams.ts";

export interface FindSource {
  readonly files: LogFiles;
  readonly streams: StreamTable;
  /** Only with the owner of the log: ids of segments without sidecars, and filters. */
  readonly ids: IdIndex;
  readonly range: SegmentRange;
}

type Found = Position & { readonly receivedAt: number };

/**
 * The newest stored event with this id. Filters are asked first; segments that no filter covers,
 * because they are older than the window, are looked up in their sidecars one by one.
 */
export async function findEvent(source: FindSource, tenantId: string, eventId: string): Promise<Found | undefined> {
  const { streams, ids, files, range } = source;
  const tenant = streams.tenant(tenantId);
  if (tenant === undefined) return undefined;
  streams.hash.digest(tenant.eventIds, eventId);
  const { hi, lo } = streams.hash;
  const candidates = ids.candidates(hi, lo) ?? { hash: { hi, lo }, recent: [], groups: [] };
  const coveredFrom = Math.min(ids.firstSegment ?? Number.POSITIVE_INFINITY, range.sidecarThrough + 1);
  return files.use(async () => {
    for await (const place of placesOf(files, candidates, { from: range.firstSegment, to: coveredFrom - 1 })) {
      const record = await readRecord(files, place);
      if (record?.stream.tenantId === tenantId && record.eventId === eventId) return foundAt(record);
    }
    return undefined;
  });
}

async function* placesOf(
  files: LogFiles,
  { hash, recent, groups }: Candidates,
  uncovered: { from: number; to: number },
) {
  yield* recent;
  for (const { first, last } of groups) yield* placesInSidecars(files, hash, { from: first, to: last });
  yield* placesInSidecars(files, hash, uncovered);
}

export function foundAt({ stream, sequence, receivedAt }: StoredRecord): Found {
  return { stream, sequence, receivedAt };
}
