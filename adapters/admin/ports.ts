import type { Clock } from "../../core/environment.ts";
import type { ControlStore, ErasingLog, IngestionLog, LaneId, LaneStore, LogReader } from "../../core/ingestion/log.ts";
import type { JobControl } from "../../core/ingestion/job-control.ts";
import type { JobSpec } from "../../core/ingestion/jobs.ts";
import type { SinkPreview } from "../../core/ingestion/preview.ts";
import type { Revision } from "../../core/ingestion/revision.ts";

/** All that the admin API may look at and change. */
export interface AdminPorts {
  /** Those who may come in; asked at each request, so that a change counts at once. */
  readonly tokens: () => readonly AdminToken[];
  readonly reader: Pick<LogReader, "find" | "read" | "bounds" | "seek" | "arrivals">;
  readonly lanes: Pick<
    LaneStore,
    | "lanes"
    | "jobLanes"
    | "loadLane"
    | "dropLane"
    | "settlement"
    | "deadLetter"
    | "deadLetters"
    | "deadLetterGroups"
    | "discard"
    | "amendment"
    | "recount"
  >;
  readonly storage: Pick<IngestionLog, "knownStreams" | "storedBytes" | "diskUse">;
  readonly erase: ErasingLog["erase"];
  readonly control: ControlStore;
  /** What runs now: tenants with the keys of the configuration, and their sinks. */
  readonly revision: () => Revision;
  /** Gives up what the log's backend lost; absent where a log can't lose a part of itself. */
  readonly acceptLoss?: (() => Promise<AcceptedLoss>) | undefined;
  readonly config: ConfigPort;
  readonly trials: TrialsPort;
  readonly jobs: JobControl;
  /** What a job would change against what was recorded, sink by sink; delivers nothing. */
  readonly previewJob: (spec: JobSpec, options: { readonly examplesMax: number }) => Promise<readonly SinkPreview[]>;
  readonly workers: WorkersPort;
  /** The built-in ones, and those that the running configuration brings. */
  readonly plugins: () => readonly PluginInfo[];
  /** Makes an instance of a sink of its own, tests its connection, closes it. Rejects with the reason. */
  readonly checkSink: (tenantId: string, sink: string, signal: AbortSignal) => Promise<void>;
  /** Lets stored keys count in this process at once; others follow by themselves. */
  readonly keysChanged: () => Promise<void>;
  readonly randomFill: (bytes: Uint8Array) => void;
  readonly clock: Clock;
}

/** What was given up. */
export interface AcceptedLoss {
  /** Parts of the backend that had been emptied. */
  readonly shards: number;
  /** Streams whose events are gone. */
  readonly streams: number;
  /** Lanes that had not delivered all of them. */
  readonly lanes: number;
  /** Those events; they are `erased` in the lanes' ledgers. */
  readonly events: number;
}

export type Role = "viewer" | "operator" | "admin";

export interface AdminToken {
  readonly id: string;
  readonly role: Role;
  /** Undefined: for all tenants, and for what belongs to none. */
  readonly tenantId?: string | undefined;
  /** Lower-case hex SHA-256 of the token's text. */
  readonly sha256: string;
}

export interface WorkersPort {
  /** What the workers know of their lanes beyond the log, as far as they run here. */
  status(): Promise<readonly LaneStatus[]>;
  /** Lets lane holds count in this process; resolves when no paused lane starts a delivery any more. */
  holdsChanged(): Promise<void>;
  /** Lets a tenant's lanes forget what they have read; resolves when what was under way is over. */
  reread(tenantId: string): Promise<void>;
  /** Makes the event at a paused lane's cursor a dead letter. Rejects with `conflict` when the cursor is elsewhere or the lane isn't paused. */
  skip(lane: LaneId, sequence: number, reason: string): Promise<void>;
}

export interface LaneStatus {
  readonly tenantId: string;
  readonly partition: number;
  readonly sink: string;
  readonly breaker: "closed" | "open" | "half_open";
  /** Events that are being tried again. */
  readonly retrying?: number | undefined;
  /** Events that wait for another of their key. */
  readonly parked?: number | undefined;
  readonly lastError?: string | undefined;
}

export interface PluginInfo {
  readonly name: string;
  readonly kind: "transform" | "sink";
  readonly version: string;
  readonly summary: string;
  /** `built in`, or what the configuration calls it: a path, a package. */
  readonly source: string;
  /** JSON Schema of its options; null when it has none. */
  readonly config: Readonly<Record<string, unknown>> | null;
}

export interface ConfigPort {
  state(): ConfigState;
  /** Everything that is wrong with a text; nothing changes. */
  validate(text: string): Promise<readonly ConfigProblem[]>;
  /**
   * Makes a text the running revision; gives its number. Rejects with `invalid_config`, with `precondition_failed`
   * when the log's newest revision is not `expected` by then, whichever process made it.
   */
  apply(text: string, by: string, expected?: number): Promise<number>;
  /** Makes the text of an older revision run again, as a new one. Rejects with `not_found` when that text is not kept. */
  rollBack(number: number, by: string, expected?: number): Promise<number>;
  /** Those whose text is kept, the newest first. */
  revisions(): Promise<readonly RevisionInfo[]>;
  /** With its text, secrets masked. */
  revision(number: number): Promise<(RevisionInfo & { readonly text: string }) | undefined>;
  diff(from: number, to: number): Promise<RevisionDiff | undefined>;
}

export interface RevisionInfo {
  readonly number: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** The file, or the admin API. */
  readonly origin: "file" | "api";
  readonly by: string;
}

export interface RevisionDiff {
  /** Unified, of the masked texts; empty when they are the same. */
  readonly text: string;
  /** Whether a masked value differs. */
  readonly secretsChanged: boolean;
}

export interface ConfigState {
  readonly revision: number;
  /** Milliseconds since the epoch. */
  readonly appliedAt: number;
  readonly origin: "file" | "api";
  readonly tenantIds: readonly string[];
  /** The newest change that was not accepted, if it came after the running revision. */
  readonly refused?: { readonly at: number; readonly problems: readonly ConfigProblem[] } | undefined;
}

/** Tenants beside the configuration's, for a time. */
export interface TrialsPort {
  /** Resolves when they are let in and delivered for. Rejects with `invalid_config`, `malformed_request`, `conflict`. */
  begin(request: TrialRequest): Promise<Trial>;
  /** Removes them and their lanes. Rejects with `not_found`. */
  end(id: string): Promise<void>;
}

export interface TrialRequest {
  /** As under `tenants` in a configuration. */
  readonly tenants: readonly unknown[];
  /** Then they are removed by themselves. */
  readonly ttlMs: number;
}

export interface Trial {
  readonly id: string;
  readonly tenantIds: readonly string[];
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

export interface ConfigProblem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly message: string;
  readonly hint?: string | undefined;
}
