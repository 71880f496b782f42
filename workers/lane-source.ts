import type { Gap, Slot } from "../core/ingestion/lane-slot.ts";
import type { LaneCommit, LogEntry, LogReader, ReadLimits, Stream } from "../core/ingestion/log.ts";
import { type Settled, settlementOf } from "../core/ingestion/settle.ts";

export interface Stamp {
  readonly configRevision: number;
  /** Milliseconds since the epoch. */
  readonly settledAt: number;
}

/** Where a lane's events come from, and what settling them means. */
export interface LaneSource {
  /**
   * Events from a sequence on, in order, with gaps where there is nothing to deliver; empty when there
   * is nothing for now. Sequences that are left out are gone from the log.
   */
  read(from: number, limits: ReadLimits): Promise<readonly (LogEntry | Gap)[]>;
  /** Milliseconds until the next event may be read; 0 for now, `Infinity` for not before the source is changed. */
  waitMs(): number;
  /** What the commit of a settled prefix carries. */
  settle(prefix: readonly Slot[], stamp: Stamp): Settled & Pick<LaneCommit, "redriven">;
}

/** An erased event is nothing to deliver. */
export function gapIfErased(entry: LogEntry): LogEntry | Gap {
  if (entry.erasedAt === undefined) return entry;
  return { sequence: entry.sequence, to: entry.sequence + 1, outcome: { type: "erased" } };
}

/** All of a stream, as it comes. */
export function liveSource(log: Pick<LogReader, "read">, stream: Stream): LaneSource {
  return {
    read: async (from, limits) => (await log.read(stream, from, limits)).map(gapIfErased),
    waitMs: () => 0,
    settle: settlementOf,
  };
}
