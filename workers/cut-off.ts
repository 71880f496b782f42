import type { WorkerDeps } from "./deps.ts";
import type { LaneRunner } from "./lane.ts";

/** Sinks that are named one by one; of the rest, how many. */
const LINES_MAX = 20;
/** A log that does not answer must not hold up the stop. */
const LOG_ANSWERS_MS = 250;

interface Cut {
  readonly tenantId: string;
  readonly sink: string;
  readonly job: string | undefined;
  /** Accepted and not settled; of a job, read and not settled. Undefined when the log did not tell. */
  undelivered: number | undefined;
}

/**
 * Warns of sinks whose deliveries a stop cut off, all partitions of a sink together; asked once the lanes
 * have ended. Nothing is lost by a cut: a lane goes on at its cursor.
 */
export async function warnOfCuts(deps: WorkerDeps, lanes: readonly LaneRunner[]): Promise<void> {
  const cuts = new Map<string, Cut>();
  const lefts = await Promise.all(lanes.map((lane) => leftOf(deps, lane)));
  for (const [i, { lane }] of lanes.entries()) {
    const { stream, sink, job } = lane;
    const key = `${stream.tenantId}/${sink}@${job ?? ""}`;
    const cut = cuts.get(key) ?? { tenantId: stream.tenantId, sink, job, undelivered: 0 };
    cut.undelivered = sum(cut.undelivered, lefts[i]);
    cuts.set(key, cut);
  }
  for (const { tenantId, sink, job, undelivered } of [...cuts.values()].slice(0, LINES_MAX)) {
    deps.logger.warn(
      { tenant_id: tenantId, sink, job, undelivered },
      "a delivery under way was cut off; it comes at the next start",
    );
  }
  if (cuts.size > LINES_MAX)
    deps.logger.warn(
      { sinks: cuts.size - LINES_MAX },
      "deliveries of more sinks were cut off; they come at the next start",
    );
}

async function leftOf({ log, timers }: WorkerDeps, { lane, cursor, view }: LaneRunner): Promise<number | undefined> {
  if (lane.job !== undefined) return view.window;
  const left = log.bounds(lane.stream).then(
    ({ end }) => end - cursor,
    () => undefined,
  );
  return Promise.race([left, timers.pause(LOG_ANSWERS_MS).then(() => undefined)]);
}

function sum(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : a + b;
}
