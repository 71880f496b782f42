import { decodeEvent } from "../../core/canonical/codec.ts";
import {
  type LaneCommit,
  type LaneId,
  type LaneStore,
  type LogReader,
  laneKey,
  streamKey,
} from "../../core/ingestion/log.ts";

/** What a settlement says of one event. */
export type Outcome = "delivered" | "filtered" | "dead" | "erased";

export interface Settled {
  readonly lane: LaneId;
  readonly sequence: number;
  readonly eventId: string;
  readonly outcome: Outcome;
}

/**
 * The log as a worker sees it, with an eye on every commit before it is made: whatever a worker is
 * about to settle must be true already.
 */
export function watchLog(log: LogReader & LaneStore, onSettle: (settled: Settled) => void): LogReader & LaneStore {
  const ids = new Map<string, string>();
  return {
    read: async (stream, from, limits) => {
      const entries = await log.read(stream, from, limits);
      for (const { sequence, bytes } of entries)
        ids.set(`${streamKey(stream)}/${sequence}`, decodeEvent(bytes).event_id);
      return entries;
    },
    commit: (commits) => {
      for (const commit of commits) for (const settled of outcomesOf(commit, ids)) onSettle(settled);
      return log.commit(commits);
    },
    arrivals: (slots, signal) => log.arrivals(slots, signal),
    seek: (stream, receivedAt) => log.seek(stream, receivedAt),
    bounds: (stream) => log.bounds(stream),
    find: (tenantId, eventId) => log.find(tenantId, eventId),
    claims: (workerId) => log.claims(workerId),
    openLane: (lane, start) => log.openLane(lane, start),
    loadLane: (lane) => log.loadLane(lane),
    dropLane: (lane) => log.dropLane(lane),
    lanes: (tenantId) => log.lanes(tenantId),
    jobLanes: (tenantId) => log.jobLanes(tenantId),
    settlement: (lane, sequence) => log.settlement(lane, sequence),
    deadLetters: (query) => log.deadLetters(query),
    deadLetter: (lane, sequence) => log.deadLetter(lane, sequence),
    deadLetterGroups: (filter) => log.deadLetterGroups(filter),
    discard: (letters, stamp) => log.discard(letters, stamp),
    amendment: (lane, sequence) => log.amendment(lane, sequence),
    recount: (lane) => log.recount(lane),
  };
}

function* outcomesOf({ lane, settlement }: LaneCommit, ids: ReadonlyMap<string, string>): Generator<Settled> {
  for (let sequence = settlement.from; sequence < settlement.to; sequence++) {
    const exception = settlement.exceptions.find(({ from, to }) => from <= sequence && sequence < to);
    const eventId = ids.get(`${streamKey(lane.stream)}/${sequence}`);
    if (eventId === undefined) throw new Error(`${laneKey(lane)} settles ${sequence}, which it never read`);
    yield { lane, sequence, eventId, outcome: exception?.outcome ?? "delivered" };
  }
}
