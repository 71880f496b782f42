import type { LaneStore, LogReader, Stream } from "./log.ts";
import type { TenantConfig } from "./revision.ts";

export interface Backlog {
  /** Accepted and not settled by the slowest of the lanes that count. */
  readonly events: number;
  /** The same, by the mean size of the first events that wait. */
  readonly bytes: number;
}

/** Events whose size stands for all that wait. */
const SAMPLE = { entries: 16, bytes: 256 * 1024 };

/** How far the tenant's slowest lane whose policy is `refuse` is behind, over all partitions. */
export async function backlogOf(
  log: Pick<LogReader, "bounds" | "read"> & Pick<LaneStore, "loadLane">,
  tenant: Pick<TenantConfig, "id" | "partitions" | "sinks">,
): Promise<Backlog> {
  const counting = tenant.sinks.filter(({ backlog }) => backlog !== "ignore");
  let events = 0;
  let bytes = 0;
  for (let partition = 0; partition < tenant.partitions; partition++) {
    const stream: Stream = { tenantId: tenant.id, partition };
    const { end } = await log.bounds(stream);
    let cursor = end;
    for (const { id } of counting) {
      const lane = await log.loadLane({ stream, sink: id });
      if (lane !== undefined) cursor = Math.min(cursor, lane.cursor);
    }
    if (cursor >= end) continue;
    events += end - cursor;
    bytes += (end - cursor) * meanBytes(await log.read(stream, cursor, SAMPLE));
  }
  return { events, bytes };
}

function meanBytes(entries: ReadonlyArray<{ readonly bytes: Buffer }>): number {
  if (entries.length === 0) return 0;
  return entries.reduce((sum, entry) => sum + entry.bytes.length, 0) / entries.length;
}
