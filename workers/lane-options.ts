import type { Claim, LaneId, LaneState } from "../core/ingestion/log.ts";
import type { SinkUse } from "../core/ingestion/revision.ts";
import type { LaneError, WorkerDeps } from "./deps.ts";
import type { LaneSource } from "./lane-source.ts";
import type { Target } from "./target.ts";
import type { LaneChain } from "./transforms.ts";

export interface LaneOptions {
  readonly deps: WorkerDeps;
  readonly lane: LaneId;
  readonly claim: Claim;
  readonly state: LaneState;
  readonly use: SinkUse;
  /** Of the tenant. */
  readonly weight: number;
  readonly source: LaneSource;
  /** Of a lane of a job. */
  readonly job?: { readonly id: string; readonly idleShare: () => number } | undefined;
  readonly chain: LaneChain;
  readonly target: Target;
  readonly revision: number;
  /** The claim was lost, or another moved the cursor: nothing more is delivered or committed here. */
  readonly onFenced: () => void;
}

/** What `status` shows beside the cursor. */
export interface LaneView {
  /** A transform or the sink has events of the lane. */
  readonly isOut: boolean;
  readonly window: number;
  readonly retrying: number;
  readonly parked: number;
  readonly oldestReceivedAt: number | undefined;
  /** Why the target or a transform does not start. */
  readonly startError: LaneError | undefined;
  readonly lastError: LaneError | undefined;
}
