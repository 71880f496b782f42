import { isErrorCode } from "../core/canonical/errors.ts";
import type { LaneCommit } from "../core/ingestion/log.ts";
import type { SinkUse } from "../core/ingestion/revision.ts";
import { fullJitterMs } from "../core/qps/backoff.ts";
import type { WorkerDeps } from "./deps.ts";
import type { LaneReport } from "./lane-report.ts";

const BACKOFF_MIN_MS = 50;
const BACKOFF_MAX_MS = 2_000;

/** A busy lane gathers for a commit as long as for so many deliveries, but no longer than this. */
const COMMIT_LINGERS = 4;
const GATHER_MAX_MS = 50;

/**
 * When a lane commits. A commit costs the store the same however many events it moves past, so what several
 * deliveries have settled goes together; the first after a pause goes at once.
 */
export class CommitPace {
  readonly #gatherMs: number;
  readonly #roomMin: number;
  #nextAt = Number.NEGATIVE_INFINITY;

  constructor({ batch, windowEvents }: SinkUse) {
    this.#gatherMs = Math.min(batch.lingerMs * COMMIT_LINGERS, GATHER_MAX_MS);
    this.#roomMin = windowEvents / 2;
  }

  /** Monotonic milliseconds. */
  get nextAt(): number {
    return this.#nextAt;
  }

  begins(now: number): void {
    this.#nextAt = now + this.#gatherMs;
  }

  /** Whether what is settled waits for more; not where the window fills up, for then the lane waits for it. */
  gathers(now: number, room: { readonly entries: number }): boolean {
    return now < this.#nextAt && room.entries > this.#roomMin;
  }
}

/** Between tries of the log, in milliseconds. */
export function storeBackoffMs(deps: WorkerDeps, attempt: number): number {
  return fullJitterMs({ attempt, minMs: BACKOFF_MIN_MS, maxMs: BACKOFF_MAX_MS, random: deps.random });
}

/**
 * Commits until it is known what came of it. `fenced`: another owns the lane now, nothing was
 * committed by this call. `given_up`: the lane was aborted while the log did not answer.
 */
export async function commitUntilKnown(options: {
  readonly deps: WorkerDeps;
  readonly commit: LaneCommit;
  readonly report: LaneReport;
  readonly isAborted: () => boolean;
}): Promise<"committed" | "fenced" | "given_up"> {
  const { deps, commit, report, isAborted } = options;
  let unknown = false;
  for (let attempt = 1; ; attempt++) {
    try {
      await deps.committer.commit(commit);
      return "committed";
    } catch (error) {
      if (isErrorCode(error, "fenced")) {
        if (unknown && (await tookPlace(options))) return "committed";
        report.storeFailed("commit", error);
        return "fenced";
      }
      report.storeFailed("commit", error);
      // The log may have taken it all the same: then the repeat is refused, and the cursor tells.
      unknown = true;
    }
    if (isAborted()) return "given_up";
    await deps.timers.pause(storeBackoffMs(deps, attempt));
  }
}

async function tookPlace(options: Parameters<typeof commitUntilKnown>[0]): Promise<boolean> {
  const { deps, commit, report, isAborted } = options;
  for (let attempt = 1; !isAborted(); attempt++) {
    try {
      return (await deps.log.loadLane(commit.lane))?.cursor === commit.settlement.to;
    } catch (error) {
      report.storeFailed("commit", error);
      await deps.timers.pause(storeBackoffMs(deps, attempt));
    }
  }
  return false;
}
