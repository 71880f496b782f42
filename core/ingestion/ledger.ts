import type { LaneId, LaneState, LaneStore, LogReader, Recount, StreamBounds } from "./log.ts";
import { streamKey } from "./log.ts";

/** One lane's account: accepted = delivered + filtered + dead + erased + pending. */
export interface LedgerEntry {
  readonly lane: LaneId;
  /** Events of the stream since the lane's start. */
  readonly accepted: number;
  readonly delivered: number;
  readonly filtered: number;
  readonly filteredByReason: Readonly<Record<string, number>>;
  readonly dead: number;
  readonly erased: number;
  readonly pending: number;
  /** What is missing; 0 always. */
  readonly imbalance: number;
}

export function ledgerEntry(lane: LaneId, state: LaneState, { end }: Pick<StreamBounds, "end">): LedgerEntry {
  const filtered = filteredOf(state);
  const accepted = end - state.start;
  const pending = end - state.cursor;
  const { delivered, dead, erased } = state;
  return {
    ...{ lane, accepted, delivered, filtered, filteredByReason: state.filtered, dead, erased, pending },
    imbalance: accepted - (delivered + filtered + dead + erased + pending),
  };
}

export interface LedgerSources {
  readonly reader: Pick<LogReader, "bounds">;
  readonly lanes: Pick<LaneStore, "lanes">;
}

/** The account of every live lane, of one tenant or of all. */
export async function ledgerOf({ reader, lanes }: LedgerSources, tenantId?: string): Promise<LedgerEntry[]> {
  const all = await lanes.lanes(tenantId);
  const ends = new Map<string, Promise<StreamBounds>>();
  // Asked for after the lanes were read, so that no cursor can lie behind the end.
  for (const { lane } of all) {
    const key = streamKey(lane.stream);
    if (!ends.has(key)) ends.set(key, reader.bounds(lane.stream));
  }
  return Promise.all(
    all.map(async ({ lane, state }) => {
      return ledgerEntry(lane, state, (await ends.get(streamKey(lane.stream))) as StreamBounds);
    }),
  );
}

export interface AuditSources {
  readonly reader: Pick<LogReader, "bounds" | "read">;
  readonly lanes: Pick<LaneStore, "recount">;
}

/** What an audit of one lane found. */
export interface Audit {
  readonly lane: LaneId;
  /** As the counters have it, and as counted anew from the settlements and what amended them. */
  readonly stated: LaneState;
  readonly recounted: LaneState;
  /** Dead letters that are really there; `stated.dead` when all is well. */
  readonly deadLetters: number;
  /** Entries from the lane's cursor to the end of the stream, by reading them; `pending` when all is well. */
  readonly unsettledEntries: number;
  readonly pending: number;
  /** In words, what does not agree; empty when all is well. */
  readonly faults: readonly string[];
}

/** Counts one lane anew, from the log itself, and compares. Undefined when there is no such lane. */
export async function auditLane({ reader, lanes }: AuditSources, lane: LaneId): Promise<Audit | undefined> {
  const recount = await lanes.recount(lane);
  if (recount === undefined) return undefined;
  const { end } = await reader.bounds(lane.stream);
  const { cursor } = recount.state;
  const unsettledEntries = await countEntries(reader, lane, { from: cursor, to: end });
  const found = { unsettledEntries, pending: end - cursor };
  const { state: stated, recounted, deadLetters } = recount;
  return { lane, stated, recounted, deadLetters, ...found, faults: faultsOf(recount, found) };
}

const STEP = { entries: 10_000, bytes: 1 << 20 };

async function countEntries(
  reader: AuditSources["reader"],
  { stream }: LaneId,
  { from, to }: { readonly from: number; readonly to: number },
): Promise<number> {
  let count = 0;
  for (let at = from; at < to; ) {
    const entries = await reader.read(stream, at, STEP);
    const last = entries.at(-1);
    if (last === undefined) return count;
    count += entries.filter(({ sequence }) => sequence < to).length;
    at = last.sequence + 1;
  }
  return count;
}

function faultsOf(
  { state, recounted, deadLetters }: Recount,
  { unsettledEntries, pending }: { readonly unsettledEntries: number; readonly pending: number },
): string[] {
  const pairs: Array<readonly [string, number, number]> = [
    ["the cursor", state.cursor, recounted.cursor],
    ["delivered", state.delivered, recounted.delivered],
    ["filtered", filteredOf(state), filteredOf(recounted)],
    ["dead", state.dead, recounted.dead],
    ["erased", state.erased, recounted.erased],
  ];
  const faults = pairs.flatMap(([name, stated, counted]) =>
    stated === counted ? [] : [`${name} is ${stated}; the settlements make it ${counted}`],
  );
  for (const reason of new Set([...Object.keys(state.filtered), ...Object.keys(recounted.filtered)])) {
    const [stated = 0, counted = 0] = [state.filtered[reason], recounted.filtered[reason]];
    if (stated !== counted) faults.push(`filtered by "${reason}" is ${stated}; the settlements make it ${counted}`);
  }
  if (deadLetters !== state.dead) faults.push(`dead is ${state.dead}; there are ${deadLetters} dead letters`);
  if (unsettledEntries !== pending) faults.push(`pending is ${pending}; the log holds ${unsettledEntries} of them`);
  return faults;
}

function filteredOf({ filtered }: LaneState): number {
  return Object.values(filtered).reduce((sum, events) => sum + events, 0);
}
