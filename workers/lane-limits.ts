import type { LaneWindow } from "../core/ingestion/lane-window.ts";
import type { ReadLimits } from "../core/ingestion/log.ts";
import type { LaneOptions } from "./lane-options.ts";

/** Events that a lane holds while its sink is out, to probe with; and that it may hold however short memory is. */
export const FEW = 16;
/** Distinct events that are tried, one by one, before a sink that takes none of them is believed to be out. */
const WITNESSES_MAX = 64;
/** How far is read for them while the sink is out, past events that wait behind others of their keys. */
const SOUGHT_MAX = 512;
const SOUGHT_BYTES_MAX = 1024 * 1024;

interface Parts {
  readonly options: LaneOptions;
  readonly window: LaneWindow;
  /** Resumed when what it waits for is there. */
  readonly lane: { resume(): void };
}

/** How much a lane may read now; undefined while there is no need or no room to read. */
export function readLimits({ options, window, lane }: Parts): ReadLimits | undefined {
  const { deps, use, target } = options;
  const room = window.room();
  const hasRoom = room.entries > 0 && room.bytes > 0;
  const isOut = target.breaker !== "closed";
  if (isOut) target.watch(lane);
  else if (deps.budget.tight) deps.budget.wait(lane);
  else if (hasRoom) {
    // A window that is nearly full is refilled in one go, not by a small read after each commit.
    const isLow = window.count("fresh") + window.untried < use.batch.eventsMax;
    if (!isLow && room.entries * 2 < use.windowEvents) return undefined;
    return { entries: room.entries, bytes: Math.min(room.bytes, use.batch.bytesMax) };
  }
  const few = isOut ? FEW - window.unsettled : window.size === 0 ? FEW : 0;
  if (hasRoom && few > 0) return { entries: few, bytes: 1 };
  if (!mayReadWitness({ options, window })) return undefined;
  window.seekWitness();
  return { entries: 1, bytes: 1 };
}

/** Beyond all room, one event at a time, as long as nothing else can show whether the target works. */
function mayReadWitness({ options, window }: Omit<Parts, "lane">): boolean {
  const { use, target } = options;
  const { unsettled } = window;
  if (target.breaker === "closed") return unsettled < use.windowEvents + FEW && window.needsWitness(target.aliveCount);
  const mayPass = unsettled < SOUGHT_MAX && window.bytes < SOUGHT_BYTES_MAX;
  const tried = unsettled - (mayPass ? window.count("parked") : 0);
  return tried < WITNESSES_MAX && window.needsWitness(target.aliveCount);
}
