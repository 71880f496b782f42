import { type LaneId, type LaneState, type LaneStore, type LogReader, streamKey } from "../core/ingestion/log.ts";
import type { Revision } from "../core/ingestion/revision.ts";
import { type LanePlan, lanesOf } from "../core/router/lanes.ts";
import type { LaneOptions } from "./lane-options.ts";
import { liveSource } from "./lane-source.ts";
import type { Target } from "./target.ts";

export interface StoredLane {
  readonly lane: LaneId;
  readonly state: LaneState;
}

/** What the lanes of a set are there for: live delivery, or jobs. */
export interface LaneRole {
  /** The lanes of this role that the log has. */
  known(): Promise<readonly StoredLane[]>;
  /** Those that are to run, by lane key. */
  plans(revision: Revision, known: readonly StoredLane[]): Map<string, LanePlan>;
  /** Where a planned lane begins that the log does not have. */
  start(plan: LanePlan, known: readonly StoredLane[]): "tail" | "start" | number;
  /** What tells the role's lanes from others. */
  parts(plan: LanePlan, state: LaneState): Pick<LaneOptions, "source" | "job" | "use">;
  /** Whose signs of life count for the lane's target, too. */
  kin(plan: LanePlan): Target | undefined;
  /** Whether new events are theirs. */
  readonly followsArrivals: boolean;
}

/** The lanes that a revision asks for, from where they stand to whatever comes. */
export function liveRole(log: LogReader & LaneStore): LaneRole {
  return {
    known: () => log.lanes(),
    plans: (revision, known) =>
      lanesOf(
        revision,
        known.map(({ lane }) => lane),
      ),
    start: ({ lane }, known) => {
      // The first sinks of a stream owe it everything; one that joins later begins at its tail. Lanes that
      // never moved may be what a crash left of the first: they run only once all of them are open.
      const stream = streamKey(lane.stream);
      return known.some((one) => streamKey(one.lane.stream) === stream && hasMoved(one)) ? "tail" : "start";
    },
    parts: ({ lane, sink }) => ({ source: liveSource(log, lane.stream), use: sink }),
    kin: () => undefined,
    followsArrivals: true,
  };
}

function hasMoved({ state }: StoredLane): boolean {
  return state.cursor > state.start;
}
