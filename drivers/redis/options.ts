import type { Clock, Logger } from "../../core/environment.ts";
import type { ErasingLog, IngestionLog } from "../../core/ingestion/log.ts";
import type { LogMetrics } from "../../core/ingestion/metrics.ts";
import type { ConnectOptions } from "./connect.ts";
import type { AcceptedLoss } from "./repair.ts";

export interface RedisLogOptions extends RedisLogTools {
  readonly connection: ConnectOptions;
  /** First part of every key and channel; `pg`. */
  readonly prefix?: string | undefined;
  /** Tells this process from all others; part of its workers' names. */
  readonly instance: string;
  /** Of this machine, for what is about its own processes alone. */
  readonly folder: string;
  /** How long ids and keys are recognised; 24 hours. */
  readonly windowMs?: number | undefined;
  /** How long a worker that is gone keeps its slots; 10 seconds. */
  readonly leaseMs?: number | undefined;
  /** `strict`: refuse what Redis might lose; `relaxed`: warn of it. */
  readonly durability?: "strict" | "relaxed" | undefined;
  /** How many replicas must have an event before it is acknowledged; 0. */
  readonly replicas?: number | undefined;
  /** Of events from 4 KiB on; `none`. Either is read, whatever is set. */
  readonly compression?: "none" | "zstd" | undefined;
  /** What may wait for its write at once; 100,000 entries, 64 MiB. */
  readonly pendingEntriesMax?: number | undefined;
  readonly pendingBytesMax?: number | undefined;
}

/** What a worker thread needs to connect on its own; may be posted or given as worker data. */
export interface RedisLogHandle {
  readonly driver: "redis";
  readonly options: Omit<RedisLogOptions, keyof RedisLogTools>;
  /** As `RedisLogOptions.folder`. */
  readonly folder: string;
}

/** What can't be posted. */
export interface RedisLogTools {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: LogMetrics;
}

export interface RedisLog extends IngestionLog, ErasingLog {
  handle(): RedisLogHandle;
  /** Gives up what Redis lost, by an operator's decision: ends the alarm, in the other processes within half a minute. */
  acceptLoss(): Promise<AcceptedLoss>;
  /** Never resolves: what Redis lost or does not answer may come back. */
  readonly failed: Promise<Error>;
}
