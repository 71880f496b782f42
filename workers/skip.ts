import { PulseGateError } from "../core/canonical/errors.ts";
import type { Clock } from "../core/environment.ts";
import {
  type Claim,
  type DeadLetter,
  laneKey,
  type LaneId,
  type LaneStore,
  type LogReader,
} from "../core/ingestion/log.ts";
import { fingerprintOf } from "../core/ingestion/dead-letters.ts";
import { headOf } from "./lane-report.ts";

export interface SkipRequest {
  readonly lane: LaneId;
  /** Must be the lane's cursor. */
  readonly sequence: number;
  /** An operator's. */
  readonly reason: string;
}

export interface SkipContext {
  readonly log: LogReader & LaneStore;
  readonly claim: Claim;
  readonly clock: Clock;
  readonly configRevision: number;
}

/**
 * Makes the event at the cursor of a lane that does not run a dead letter, in one commit: nothing is lost,
 * and the lane goes on behind it. Rejects with `conflict` when the cursor is elsewhere or at the end.
 */
export async function skipPosition(context: SkipContext, { lane, sequence, reason }: SkipRequest): Promise<void> {
  const { log, claim, clock, configRevision } = context;
  const state = await log.loadLane(lane);
  if (state?.cursor !== sequence) {
    const place = state === undefined ? "there is no such lane" : `its cursor is at ${state.cursor}`;
    throw new PulseGateError("conflict", `${laneKey(lane)} can't skip ${sequence}: ${place}`);
  }
  const [entry] = await log.read(lane.stream, sequence, { entries: 1, bytes: 1 });
  if (entry?.sequence !== sequence) {
    throw new PulseGateError("conflict", `${laneKey(lane)} can't skip ${sequence}: the log has no event there`);
  }
  if (entry.erasedAt !== undefined)
    throw new PulseGateError(
      "conflict",
      `${laneKey(lane)} passes over ${sequence} by itself, for it is erased: resume it`,
    );
  const at = clock.now();
  const head = headOf(entry.bytes);
  const failure = { stage: "operator", code: "skipped", message: reason };
  const letter: DeadLetter = {
    lane,
    sequence,
    eventId: head.event_id ?? "",
    eventType: head.event_type ?? "",
    receivedAt: entry.receivedAt,
    diedAt: at,
    ...failure,
    fingerprint: fingerprintOf(failure),
    attempts: [],
    configRevision,
    plugins: {},
    bytes: entry.bytes,
  };
  const exceptions = [{ from: sequence, to: sequence + 1, outcome: "dead" as const }];
  const settlement = { from: sequence, to: sequence + 1, exceptions, configRevision, settledAt: at };
  const [result] = await log.commit([{ lane, claim, settlement, deadLetters: [letter] }]);
  if (result?.status === "rejected") throw result.reason as Error;
}
