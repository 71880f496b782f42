import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import type { LoadedConfig, ParseResult } from "../config/parse.ts";
import { formatProblem } from "../config/problems.ts";
import { changedSettings } from "../config/revision.ts";
import type { ProcessSettings } from "../config/revision.ts";
import { watchConfig } from "../config/watch.ts";
import type { Logger } from "../core/environment.ts";
import type { LogMetrics } from "../core/ingestion/metrics.ts";
import { Capacity, EVENT_COST } from "../core/qps/capacity.ts";
import { openEmbeddedLog } from "../drivers/embedded/index.ts";
import { openRedisLog } from "../drivers/redis/index.ts";
import type { ProcessLogger } from "../observability/logger.ts";
import { createMetrics } from "../observability/metrics.ts";
import type { Metrics } from "../observability/metrics.ts";
import { systemClock } from "../observability/system-clock.ts";
import { PLUGINS } from "../plugins/registry.ts";
import { ConfigBook } from "./config-book.ts";
import { startGateway } from "./gateway.ts";
import type { Gateway } from "./gateway.ts";
import type { ProcessLog, SharedAs } from "./process-log.ts";
import { dutiesOf } from "./roles.ts";
import type { Role } from "./roles.ts";
import type { Teardown } from "./teardown.ts";
import { VERSION } from "./version.ts";

export interface InstanceOptions extends Opened {
  readonly config: LoadedConfig;
  readonly role: Role;
  readonly lanesInLine?: boolean | undefined;
  /** The file to follow, and how to read it again; absent when there is none. */
  readonly reload?: { readonly file: string; readonly load: () => Promise<ParseResult> } | undefined;
  /** Reads a text as the file is read. */
  readonly parse: (text: string) => Promise<ParseResult>;
  readonly logger: ProcessLogger;
  readonly teardown: Teardown;
}

export interface OpenLogOptions {
  readonly config: LoadedConfig;
  readonly role: Role;
  readonly logger: Logger;
  readonly teardown: Teardown;
}

/** What is there before the gateway, and outlives it. */
export interface Opened {
  readonly log: ProcessLog;
  /** Absent: no other process has this log. */
  readonly sharedAs?: SharedAs | undefined;
  readonly metrics: Metrics;
  readonly capacity: Capacity;
}

export async function openLog({ config, role, logger, teardown }: OpenLogOptions): Promise<Opened> {
  const metrics = createMetrics({ build: { version: VERSION, node: process.version } });
  const { path, dedupWindowMs, dedupBytesMax, diskBytesMax, redis } = config.settings.log;
  const { memoryBytesMax } = config.settings.http;
  const roomBytes = roomOf(config.settings, role);
  const capacity = new Capacity({ clock: systemClock, costMax: memoryBytesMax / UNDER_WAY, roomBytes });
  const options = {
    ...{ clock: systemClock, logger },
    metrics: { ...metrics.log, commit: told(metrics.log, capacity) },
    // Tenants under their share come in beside those that fill the door: up to as much again.
    pendingBytesMax: (2 * memoryBytesMax) / UNDER_WAY,
  };
  const sharedAs = redis && { instance: `${hostname()}-${process.pid}-${randomBytes(4).toString("hex")}` };
  const log: ProcessLog =
    redis === undefined || sharedAs === undefined
      ? await openEmbeddedLog({ ...options, path, windowMs: dedupWindowMs, dedupBytesMax, diskBytesMax })
      : await openRedisLog({ ...options, ...redis, ...sharedAs, folder: path, windowMs: dedupWindowMs });
  teardown.add({ name: "the ingestion log", share: 0.1, stop: () => log.close() });
  return { log, sharedAs, metrics, capacity };
}

/** A worker thread's runtime, what its lanes hold and read ahead, and what sinks make of it. */
const WORKER_BYTES = 256 * 1024 * 1024;

/** What is left of the memory that the process plans with: the door's, and that of its workers if it has any. */
function roomOf({ http, workers }: ProcessSettings, role: Role): () => number {
  const bytesMax = http.memoryBytesMax + (dutiesOf(role).delivers ? workers.threads * WORKER_BYTES : 0);
  return () => bytesMax - process.memoryUsage.rss();
}

/** Part of the memory for what is under way: each event is there as a body, in canonical form and in a block. */
const UNDER_WAY = 8;

function told(metrics: LogMetrics, capacity: Capacity): LogMetrics["commit"] {
  return (commit) => {
    metrics.commit(commit);
    capacity.committed({ ...commit, cost: commit.bytes + commit.entries * EVENT_COST });
  };
}

/** Starts the gateway on its log and follows the configuration's file. */
export async function startInstance(options: InstanceOptions): Promise<Gateway> {
  const { config, log, sharedAs, role, lanesInLine, metrics, capacity, logger, teardown } = options;
  logger.addSecrets(config.secrets);
  const onSecrets = (secrets: readonly string[]): void => logger.addSecrets(secrets);
  const parts = { control: log.control, parse: options.parse, plugins: PLUGINS, onSecrets, clock: systemClock };
  const book = await ConfigBook.open(parts, config);
  // The log is open already, where the file says.
  const settings = { ...book.running.settings, log: config.settings.log };
  const own = { settings, book, log, sharedAs, role, lanesInLine, metrics, capacity };
  const gateway = await startGateway({ ...own, logger, clock: systemClock, teardown });
  await follow(options, { gateway, book });
  return gateway;
}

async function follow(
  { reload, config, logger, teardown }: InstanceOptions,
  { gateway, book }: { readonly gateway: Gateway; readonly book: ConfigBook },
): Promise<void> {
  if (reload === undefined) return;
  const watch = await watchConfig({
    ...reload,
    runningText: config.source.text,
    clock: systemClock,
    async onConfig(next) {
      logger.addSecrets(next.secrets);
      const before = gateway.revision;
      const { number } = await book.fileChanged(next);
      if (number !== before) logger.info({ revision: number }, "configuration changed");
      const fixed = changedSettings(config.settings, next.settings);
      if (fixed.length > 0) logger.warn({ settings: fixed }, "these settings take effect at the next start");
    },
    onRefused(problems) {
      gateway.refuse(problems);
      logger.error(
        { revision: gateway.revision, problems: problems.map(formatProblem) },
        "the changed configuration is refused; the running one stays",
      );
    },
  });
  teardown.add({ name: "a change of the configuration", share: 0.01, stop: () => watch.close() });
}
