import type { CanonicalEvent, PluginContext, SinkOutcome, TransformOutcome } from "../../plugins/contract.ts";

/** One event for a transform, and whoever waits for its outcome. */
export interface Job {
  readonly event: CanonicalEvent;
  readonly ctx: PluginContext;
  /** The plugin's answer, whatever it is worth. */
  readonly resolve: (outcome: TransformOutcome) => void;
  /** The plugin threw. */
  readonly reject: (error: unknown) => void;
  answered: boolean;
}

/** Where an instance of a plugin that is not trusted runs. */
export interface Runner {
  /** Makes and initialises it; rejects with what hinders it. */
  start(config: unknown): Promise<void>;
  /** Has the events transformed; resolves when all are answered, rejects with `RunnerDied` when some never will be. */
  transform(jobs: readonly Job[]): Promise<void>;
  /** Rejects with what the sink threw, or `RunnerDied`. */
  deliver(events: readonly CanonicalEvent[], ctx: PluginContext): Promise<readonly SinkOutcome[]>;
  /** Resolves when it is gone without being asked to. */
  readonly died: Promise<RunnerDied>;
  /** Ends it, politely for so long. */
  close(timeoutMs: number): Promise<void>;
}

export type DeathCode = "plugin_crashed" | "plugin_deadline" | "plugin_memory";

/** The plugin's thread or process ended, or was killed. */
export class RunnerDied extends Error {
  readonly code: DeathCode;
  constructor(code: DeathCode, message: string) {
    super(message);
    this.name = "RunnerDied";
    this.code = code;
  }
}
