import type { PulseGateError } from "../../core/canonical/errors.ts";
import type { Clock, Logger } from "../../core/environment.ts";
import type { ErasingLog, IngestionLog } from "../../core/ingestion/log.ts";
import type { LogMetrics } from "../../core/ingestion/metrics.ts";
import type { Disk } from "./disk.ts";
import type { LogFolder } from "./folder.ts";

export interface EmbeddedLogOptions {
  /** The log's folder; made when missing. */
  readonly path: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: LogMetrics;
  /** Size of a new log's segments; 64 MiB. An existing log keeps its own. */
  readonly segmentBytes?: number | undefined;
  /** How long ids and keys are recognised; 24 hours. */
  readonly windowMs?: number | undefined;
  /** Memory for recognising them; 64 MiB, about 33 million names. Beyond it the oldest are forgotten. */
  readonly dedupBytesMax?: number | undefined;
  /** Names that one filter covers, about four million; a filter is the unit that is forgotten. */
  readonly filterIdsMax?: number | undefined;
  /** Of all files in the folder: no segment is made beyond it. At least six segments; no bound without it. */
  readonly diskBytesMax?: number | undefined;
  /** What may wait for its write at once; 100,000 entries, 64 MiB. */
  readonly pendingEntriesMax?: number | undefined;
  readonly pendingBytesMax?: number | undefined;
  /** Of one group commit; 4 MiB. */
  readonly commitBytesMax?: number | undefined;
  /** For tests: another disk. Chores are then done on this thread. */
  readonly disk?: Disk | undefined;
}

/** What a worker thread needs to attach; may be posted or given as worker data. */
export interface EmbeddedLogHandle {
  readonly folder: LogFolder;
  readonly progress: SharedArrayBuffer;
  readonly worker: { readonly index: number; readonly count: number };
}

export interface EmbeddedLog extends IngestionLog, ErasingLog {
  /** Worker `index` of `count` holds the slots with `slot % count === index`. */
  handle(worker: { readonly index: number; readonly count: number }): EmbeddedLogHandle;
  /** Resolves with the reason once the log can take nothing more until the process is started anew. */
  readonly failed: Promise<PulseGateError>;
}
