import type { DeadLetterFilter, LaneId, LetterId } from "./log.ts";

/**
 * One resource for whatever delivers again: a `replay` of events to lanes that had them, a `redrive` of
 * dead letters, a `backfill` of a sink with what lies before its lane's start. A job is a set of lanes
 * with a start, an end, a filter and a rate; always through today's transforms and routes.
 */
export interface Job {
  readonly id: string;
  readonly spec: JobSpec;
  readonly state: JobState;
  /** Why it failed, was paused or cancelled, in words. */
  readonly reason?: string | undefined;
  readonly lanes: readonly JobLane[];
  /** Events that the plan found; those that the filter passes over included when `isEstimate`. */
  readonly events: number;
  readonly isEstimate: boolean;
  /** How long that will take, as it was planned; undefined when nobody could tell. */
  readonly estimateMs?: number | undefined;
  readonly canary?: CanaryState | undefined;
  /** Milliseconds since the epoch, as all times. */
  readonly createdAt: number;
  readonly startedAt?: number | undefined;
  readonly endedAt?: number | undefined;
  /** When it last began to run, and how far it was by then: what its speed is measured from. */
  readonly resumed?: { readonly at: number; readonly settled: number; readonly share: number } | undefined;
  /** While it runs: what its lanes wait for, by lane key. */
  readonly waits?: Readonly<Record<string, JobWait>> | undefined;
  /** At its end: how fast it went since it last began to run. */
  readonly eventsPerSecond?: number | undefined;
  /** The counts at its end. */
  readonly outcome?: JobCounts | undefined;
}

export type JobKind = "replay" | "redrive" | "backfill";

/** `planned` until it is started; `done`, `failed` and `cancelled` are final. */
export type JobState = "planned" | "running" | "paused" | "done" | "failed" | "cancelled";

export interface JobSpec {
  readonly kind: JobKind;
  readonly tenantId: string;
  readonly selection: JobSelection;
  /** Sink ids; all of the tenant's when absent. */
  readonly sinks?: readonly string[] | undefined;
  readonly rate: JobRate;
  /** Of a redrive. */
  readonly canary?: Canary | undefined;
  /** Who asked for it, for lists. */
  readonly createdBy?: string | undefined;
}

/** All that is given must hold. */
export interface JobSelection {
  /** Accepted at this time or later, and before that, in milliseconds since the epoch. */
  readonly receivedFrom?: number | undefined;
  readonly receivedTo?: number | undefined;
  /** `from ≤ sequence < to`; partitions that are not named take no part. */
  readonly positions?:
    | ReadonlyArray<{ readonly partition: number; readonly from: number; readonly to: number }>
    | undefined;
  readonly eventTypes?: readonly string[] | undefined;
  /** A CEL condition on the event as it was accepted. One that has no result for an event does not select it. */
  readonly filter?: string | undefined;
  /** Of a redrive: which letters. */
  readonly deadLetters?: Pick<DeadLetterFilter, "stage" | "fingerprint" | "eventType"> | undefined;
  /** Of a redrive: these letters alone. */
  readonly letters?: readonly LetterId[] | undefined;
}

/** So many events a second; or, of the time in which no live lane delivers, so much: above 0, up to 1. */
export type JobRate = { readonly eventsPerSecond: number } | { readonly idleShare: number };

/** So many letters first; the rest only if at least this share of them, above 0 and up to 1, is off the dead letters. */
export interface Canary {
  readonly events: number;
  readonly share: number;
}

export interface CanaryState {
  readonly state: "running" | "passed" | "failed";
  readonly tried: number;
  readonly succeeded: number;
}

/** One lane of a job: of one stream to one sink. */
export interface JobLane {
  readonly lane: LaneId;
  /** Of a redrive: the lane whose dead letters it takes. */
  readonly of?: LaneId | undefined;
  readonly from: number;
  /** One past the last sequence. */
  readonly to: number;
}

/** What the lanes of a job have settled so far. */
export interface JobCounts {
  readonly delivered: number;
  /** By today's transforms and routes. */
  readonly filtered: number;
  /** Given up: new dead letters of a replay, letters of a redrive that failed again. */
  readonly failed: number;
  /** Gone from the log before they could be delivered. */
  readonly erased: number;
  /** Passed over by the selection. */
  readonly notSelected: number;
}

/** Why a lane of a job has something to deliver and does not: its sink is out, or a plugin does not start. */
export interface JobWait {
  /** As in dead letters: `sink NAME`, `transform NAME`. */
  readonly stage: string;
  readonly code: string;
  readonly message: string;
  /** Milliseconds since the epoch. */
  readonly since: number;
}

/** A lane of a job as the worker that runs it sees it. */
export interface JobLaneSight {
  readonly lane: LaneId;
  readonly waitsFor?: Omit<JobWait, "since"> | undefined;
}

export interface JobProgress extends JobCounts {
  /** delivered + filtered + failed + erased. */
  readonly settled: number;
  /** Sequences passed, of all: from 0 to 1. */
  readonly share: number;
  /** Since it last began to run. */
  readonly eventsPerSecond?: number | undefined;
  /** Of a plan: how long it will take. */
  readonly etaMs?: number | undefined;
  /** What lanes wait for, the lanes of one sink together; empty when nothing holds the job up. */
  readonly waiting: ReadonlyArray<JobWait & { readonly sink: string; readonly lanes: number }>;
}

/** Reasons of a job lane's own ledger, beside those of transforms and routes. */
export const NOT_SELECTED = "job: not selected";
export const FAILED_AGAIN = "job: failed again";

/** What a worker needs to run the lanes of one job; plain data. */
export interface JobOrder {
  readonly id: string;
  readonly tenantId: string;
  readonly selection: JobSelection;
  readonly lanes: readonly JobLaneOrder[];
  /** Of the time in which no live lane delivers. */
  readonly idleShare: number;
}

export interface JobLaneOrder extends JobLane {
  readonly eventsPerSecond?: number | undefined;
  /** The lane rests once so many events are settled, those passed over aside. */
  readonly eventsMax?: number | undefined;
}

/** The job that a lane belongs to. */
export function jobOf(lane: Pick<LaneId, "job">): string | undefined {
  return lane.job?.split("~")[0];
}
