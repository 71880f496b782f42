import { isErrorCode } from "../canonical/errors.ts";
import { readDocument, updateDocument } from "./control.ts";
import { laneKey } from "./log.ts";
import type { ControlStore, LaneId } from "./log.ts";

/** Whether an operator has paused a lane. Kept in the log's backend, so that it outlives every process. */
export interface LaneHold {
  readonly paused: boolean;
  readonly reason?: string | undefined;
  readonly by: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

const PREFIX = "lane-holds/";

export async function holdOf(
  control: ControlStore,
  lane: LaneId,
): Promise<{ readonly hold: LaneHold | undefined; readonly version: number }> {
  const { value, version } = await readDocument<LaneHold>(control, PREFIX + laneKey(lane));
  return { hold: value, version };
}

/** Rejects with `precondition_failed` when the hold is not at version `expected`. */
export async function putHold(
  control: ControlStore,
  lane: LaneId,
  { hold, expected }: { readonly hold: LaneHold; readonly expected?: number | undefined },
): Promise<number> {
  const { version } = await updateDocument<LaneHold>(control, PREFIX + laneKey(lane), { expected, change: () => hold });
  return version;
}

/** Of a lane that is gone: one that comes back must not be held by what an operator once said of another. */
export async function dropHold(control: ControlStore, lane: LaneId): Promise<void> {
  const key = PREFIX + laneKey(lane);
  for (;;) {
    const { version } = await readDocument<LaneHold>(control, key);
    if (version === 0) return;
    try {
      return await control.remove(key, version);
    } catch (error) {
      if (!isErrorCode(error, "version_conflict")) throw error;
    }
  }
}

/** All that were ever held, by lane key. */
export async function laneHolds(
  control: ControlStore,
): Promise<ReadonlyMap<string, { readonly hold: LaneHold; readonly version: number }>> {
  const documents = await control.list(PREFIX);
  return new Map(
    documents.map(({ key, value, version }) => [key.slice(PREFIX.length), { hold: value as LaneHold, version }]),
  );
}

/** Keys of the lanes that are paused. */
export async function pausedLanes(control: ControlStore): Promise<string[]> {
  return [...(await laneHolds(control))].filter(([, { hold }]) => hold.paused).map(([key]) => key);
}
