import { decodeEvent } from "../../core/canonical/codec.ts";
import { jobOf } from "../../core/ingestion/jobs.ts";
import { type LaneCommit, type LaneStore, laneKey, type LogReader, streamKey } from "../../core/ingestion/log.ts";
import type { MemoryLog } from "../../drivers/memory/index.ts";

interface Watch {
  readonly wasDelivered: (sink: string, eventId: string, by: string) => boolean;
  readonly onFault: (error: Error) => void;
}

/** The log as a worker sees it: what is about to be settled as delivered must have reached its sink, by whoever settles it. */
export function watchDeliveries(log: MemoryLog, watch: Watch): LogReader & LaneStore {
  const ids = new Map<string, string>();
  const methods: Partial<LogReader & LaneStore> = {
    read: async (stream, from, limits) => {
      const entries = await log.read(stream, from, limits);
      for (const { sequence, bytes } of entries) {
        const place = `${streamKey(stream)}/${sequence}`;
        if (!ids.has(place)) ids.set(place, decodeEvent(bytes).event_id);
      }
      return entries;
    },
    deadLetters: async (query) => {
      const letters = await log.deadLetters(query);
      for (const { lane, sequence, eventId } of letters) ids.set(`${streamKey(lane.stream)}/${sequence}`, eventId);
      return letters;
    },
    commit: (commits) => {
      for (const commit of commits) for (const fault of faultsOf(commit, ids, watch)) watch.onFault(fault);
      return log.commit(commits);
    },
  };
  return new Proxy(log, {
    get: (target, name) => {
      const method: unknown = methods[name as keyof typeof methods] ?? target[name as keyof MemoryLog];
      return typeof method === "function" ? method.bind(target) : method;
    },
  });
}

function* faultsOf(commit: LaneCommit, ids: ReadonlyMap<string, string>, watch: Watch): Generator<Error> {
  const { lane, settlement, redriven = [] } = commit;
  const by = jobOf(lane) ?? "live";
  const failed = new Set(redriven.flatMap(({ sequence, outcome }) => (outcome.type === "delivered" ? [] : sequence)));
  for (let sequence = settlement.from; sequence < settlement.to; sequence++) {
    if (settlement.exceptions.some(({ from, to }) => from <= sequence && sequence < to)) continue;
    const id = ids.get(`${streamKey(lane.stream)}/${sequence}`);
    const where = `${laneKey(lane)}/${sequence} (${id})`;
    if (id === undefined || !watch.wasDelivered(lane.sink, id, by))
      yield new Error(`${where} is settled as delivered, and the sink does not have it from ${by}`);
    if (failed.has(sequence)) yield new Error(`${where} is delivered and failed at once`);
  }
}
