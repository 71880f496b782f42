import type { Logger, Random } from "../core/environment.ts";
import type { LaneStore, LogReader } from "../core/ingestion/log.ts";
import type { LaneMetrics } from "../core/ingestion/metrics.ts";
import type { PluginDefinition, PluginMetrics } from "../plugins/contract.ts";
import type { Committer } from "./committer.ts";
import type { FlightRecord } from "./isolation/suspects.ts";
import type { LiveTurns } from "./live-turns.ts";
import type { Pace } from "./pace.ts";
import type { ReadBudget } from "./read-budget.ts";
import type { Timers } from "./timers.ts";
import type { Turns } from "./turns.ts";

/** What all lanes of one worker share. */
export interface WorkerDeps {
  readonly log: LogReader & LaneStore;
  readonly committer: Committer;
  readonly timers: Timers;
  readonly pace: Pace;
  readonly budget: ReadBudget;
  readonly turns: Turns;
  readonly liveTurns: LiveTurns;
  readonly lanesInLine: boolean;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: LaneMetrics;
  readonly pluginMetrics: (plugin: string) => PluginMetrics;
  /** Where it is kept which events are with a plugin that may die; absent: in memory alone. */
  readonly flights: ((key: string) => FlightRecord) | undefined;
  readonly findPlugin: (name: string) => PluginDefinition | undefined;
}

/** What it takes to run plugins. */
export type PluginDeps = Pick<WorkerDeps, "timers" | "random" | "logger" | "pluginMetrics" | "flights" | "findPlugin">;

/** The last thing that went wrong, for `status`. */
export interface LaneError {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly stage: string;
  readonly code: string;
  readonly message: string;
}
