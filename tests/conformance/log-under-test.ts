import type { Claim, IngestionLog } from "../../core/ingestion/log.ts";

/** An empty log to be held to its contract, with the handles that the suite needs. */
export interface LogUnderTest {
  readonly log: IngestionLog;
  /** The deduplication window that the log was opened with. */
  readonly windowMs: number;
  /** Moves the log's wall clock; a negative step sets it back. */
  advance(ms: number): void | Promise<void>;
  /** Closes the log and opens it anew over what is durable, with the same clock. The old one is of no use afterwards. */
  reopen(): Promise<LogUnderTest>;
  /** Makes another owner take the slot, where the driver knows others. Returns its claim. */
  takeOver?(slot: number): Promise<Claim>;
  /** Closes the log and removes all it left. */
  close(): Promise<void>;
}
