import { isErrorCode } from "../core/canonical/errors.ts";
import type { Clock, Logger } from "../core/environment.ts";
import { readDocument } from "../core/ingestion/control.ts";
import { type IngestionLog, laneKey } from "../core/ingestion/log.ts";
import type { TenantConfig } from "../core/ingestion/revision.ts";
import type { RetentionMetrics } from "../core/ingestion/metrics.ts";
import {
  makeRoom,
  type PassedOver,
  type RetentionRule,
  trimOnce,
  type TrimOptions,
} from "../core/ingestion/retention.ts";

export interface RetentionOptions extends Pick<TrimOptions, "jobs" | "rule"> {
  readonly log: TrimOptions["log"] & Pick<IngestionLog, "control">;
  readonly metrics: Pick<RetentionMetrics, "dropped" | "stored">;
  readonly clock: Clock;
  readonly logger: Logger;
}

const INTERVAL_MS = 60_000;
/** Storage can fill up within seconds. */
const ROOM_INTERVAL_MS = 1_000;

/** Trims the log once a minute, whichever of its processes does it, and watches its bound. Returns what stops it. */
export function startRetention(options: RetentionOptions): () => Promise<void> {
  const { clock, logger, log } = options;
  const stopped = new AbortController();
  const every = async (intervalMs: number, work: () => Promise<void>): Promise<void> => {
    while (!stopped.signal.aborted) {
      await clock.sleep(intervalMs, stopped.signal);
      if (!stopped.signal.aborted) await work().catch((error: unknown) => warn(logger, error));
    }
  };
  const bounded = async (): Promise<void> => {
    if ((await log.diskUse())?.fullAtBytes !== undefined)
      await every(ROOM_INTERVAL_MS, () => makeRoom(trimmingOf(options)));
  };
  const done = Promise.all([every(INTERVAL_MS, () => trimInTurn(options)), bounded()]);
  return async () => {
    stopped.abort();
    await done;
  };
}

/** What holds for a tenant: its own rule, and the log's where it has none. */
export function ruleOf(all: RetentionRule, tenant: Pick<TenantConfig, "retention"> | undefined): RetentionRule {
  const own = tenant?.retention ?? {};
  return {
    ageMs: own.ageMs ?? all.ageMs,
    bytesMax: own.bytesMax ?? all.bytesMax,
    deadLetterAgeMs: own.deadLetterAgeMs ?? all.deadLetterAgeMs,
    whenFull: own.whenFull ?? all.whenFull,
  };
}

const TURN = "retention";

/** Trims, unless another process did or does it in this round. */
export async function trimInTurn(options: RetentionOptions): Promise<void> {
  const { log, clock } = options;
  const { value, version } = await readDocument<{ readonly at: number }>(log.control, TURN);
  if (value !== undefined && clock.now() - value.at < INTERVAL_MS / 2) return;
  try {
    await log.control.put(TURN, { at: clock.now() }, version);
  } catch (error) {
    if (isErrorCode(error, "version_conflict")) return;
    throw error;
  }
  await trimOnce(trimmingOf(options));
}

function trimmingOf(options: RetentionOptions): TrimOptions {
  const { log, jobs, rule, clock } = options;
  const stored = (bytes: ReadonlyMap<string, number>): void => options.metrics.stored(bytes);
  return { log, jobs, rule, now: clock.now(), stored, dropped: (passed) => tell(options, passed) };
}

function tell({ metrics, logger }: RetentionOptions, { lane, events }: PassedOver): void {
  metrics.dropped(lane.stream.tenantId, events);
  logger.warn({ lane: laneKey(lane), events }, "the oldest undelivered events were dropped to make room");
}

function warn(logger: Logger, error: unknown): void {
  logger.warn({ error }, "the log could not be trimmed; it is tried again");
}
