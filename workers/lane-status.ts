import type { LaneError, WorkerDeps } from "./deps.ts";
import type { LaneRunner } from "./lane.ts";
import type { JobLaneSight } from "../core/ingestion/jobs.ts";
import type { BreakerState } from "../core/qps/breaker.ts";

/** A lane as operators see it. */
export interface LaneStatus {
  readonly tenantId: string;
  readonly partition: number;
  readonly sink: string;
  /** One past the last sequence that is durably settled. */
  readonly cursor: number;
  /** The end of the stream. */
  readonly end: number;
  /** Events accepted and not settled. */
  readonly lag: number;
  /** Age of the oldest unsettled event in seconds; 0 when there is none. */
  readonly lagSeconds: number;
  readonly breaker: BreakerState;
  /** Events read and not committed. */
  readonly window: number;
  /** Events that wait for another try. */
  readonly retrying: number;
  /** Events that wait for another of their key. */
  readonly parked: number;
  readonly lastError: LaneError | undefined;
}

/** Lanes looked at side by side. */
const ASKED_AT_ONCE = 64;

export async function statusOf(deps: WorkerDeps, lanes: readonly LaneRunner[]): Promise<LaneStatus[]> {
  const statuses: LaneStatus[] = [];
  for (let at = 0; at < lanes.length; at += ASKED_AT_ONCE) {
    const some = lanes.slice(at, at + ASKED_AT_ONCE);
    statuses.push(...(await Promise.all(some.map((lane) => laneStatus(deps, lane)))));
  }
  return statuses;
}

/** A lane of a job, and what it waits for: a target that is out, a plugin that does not start. */
export function sightOf({ lane, target, view }: LaneRunner): JobLaneSight {
  const { startError } = view;
  const fault = startError && { stage: startError.stage, code: startError.code, message: startError.message };
  return { lane, waitsFor: target.outage ?? fault };
}

/** Reports each sink's lanes, its partitions taken together: the sum of events, the worst of the rest. */
export async function measureLanes(deps: WorkerDeps, lanes: readonly LaneRunner[]): Promise<void> {
  const sinks = new Map<string, LaneStatus>();
  for (const status of await statusOf(deps, lanes)) {
    const key = `${status.tenantId}/${status.sink}`;
    const other = sinks.get(key);
    sinks.set(key, other === undefined ? status : together(other, status));
  }
  for (const { tenantId, sink, lag, lagSeconds, breaker } of sinks.values()) {
    deps.metrics.lane({ tenantId, sink, lagEvents: lag, lagSeconds, breaker });
  }
}

function together(a: LaneStatus, b: LaneStatus): LaneStatus {
  return { ...a, lag: a.lag + b.lag, lagSeconds: Math.max(a.lagSeconds, b.lagSeconds) };
}

async function laneStatus(deps: WorkerDeps, runner: LaneRunner): Promise<LaneStatus> {
  const { lane, target } = runner;
  const { end } = await deps.log.bounds(lane.stream);
  const { window, retrying, parked, lastError } = runner.view;
  const { cursor } = runner;
  const lag = Math.max(0, end - cursor);
  return {
    tenantId: lane.stream.tenantId,
    partition: lane.stream.partition,
    sink: lane.sink,
    cursor,
    end,
    lag,
    lagSeconds: lag === 0 ? 0 : await ageSeconds(deps, runner),
    breaker: target.breaker,
    window,
    retrying,
    parked,
    lastError,
  };
}

async function ageSeconds(deps: WorkerDeps, runner: LaneRunner): Promise<number> {
  const receivedAt = runner.view.oldestReceivedAt ?? (await firstUnread(deps, runner));
  return receivedAt === undefined ? 0 : Math.max(0, deps.timers.clock.now() - receivedAt) / 1000;
}

async function firstUnread(deps: WorkerDeps, runner: LaneRunner): Promise<number | undefined> {
  const [entry] = await deps.log.read(runner.lane.stream, runner.cursor, { entries: 1, bytes: 1 });
  return entry?.receivedAt;
}
