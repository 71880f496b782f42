import type { ErasingLog, IngestionLog } from "../core/ingestion/log.ts";

/** A log as a process holds it, whichever driver it is. */
export interface ProcessLog extends IngestionLog, ErasingLog {
  /** What a worker thread opens the log with: plain data. */
  handle(worker: { readonly index: number; readonly count: number }): unknown;
  /** Gives up what the backend lost; absent where a log can't lose a part of itself. */
  acceptLoss?(): Promise<{
    readonly shards: number;
    readonly streams: number;
    readonly lanes: number;
    readonly events: number;
  }>;
  /** Resolves with the reason once the log can take nothing more until the process is started anew. */
  readonly failed: Promise<Error>;
}

/** How the log is shared with other processes. */
export interface SharedAs {
  /** Names this process among them. */
  readonly instance: string;
}
