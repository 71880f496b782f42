import type { LaneStore, LogReader } from "../../core/ingestion/log.ts";

/** All that the admin API may look at. It changes nothing. */
export interface AdminPorts {
  /** The bearer token that its callers must show. */
  readonly token: string;
  readonly reader: Pick<LogReader, "find" | "read" | "bounds">;
  readonly lanes: Pick<LaneStore, "lanes" | "jobLanes" | "settlement" | "deadLetter" | "deadLetters" | "amendment">;
  /** What the workers know of their lanes beyond the log, as far as they run here. */
  readonly laneStatus: () => Promise<readonly LaneStatus[]>;
  readonly config: () => ConfigState;
}

export interface LaneStatus {
  readonly tenantId: string;
  readonly partition: number;
  readonly sink: string;
  readonly breaker: "closed" | "open" | "half_open";
  /** Events that are being tried again. */
  readonly retrying?: number | undefined;
  readonly lastError?: string | undefined;
}

export interface ConfigState {
  readonly revision: number;
  /** Milliseconds since the epoch. */
  readonly appliedAt: number;
  readonly tenantIds: readonly string[];
  /** The newest change that was not accepted, if it came after the running revision. */
  readonly refused?: { readonly at: number; readonly problems: readonly ConfigProblem[] } | undefined;
}

export interface ConfigProblem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly message: string;
  readonly hint?: string | undefined;
}
