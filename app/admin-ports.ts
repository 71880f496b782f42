import { randomFillSync } from "node:crypto";
import { knownPlugins, sourceOf } from "../config/plugins.ts";
import type { AdminPorts, ConfigPort, TrialsPort } from "../adapters/admin/index.ts";
import type { Clock } from "../core/environment.ts";
import type { JobControl } from "../core/ingestion/job-control.ts";
import type { Revision } from "../core/ingestion/revision.ts";
import { PLUGINS } from "../plugins/registry.ts";
import type { WorkerPool } from "../workers/pool.ts";
import { checkSink } from "./check-sink.ts";
import type { ConfigBook } from "./config-book.ts";
import type { LaneActions } from "./lane-actions.ts";
import type { LiveControl } from "./live-control.ts";
import type { ProcessLog } from "./process-log.ts";

export interface AdminParts {
  readonly log: ProcessLog;
  readonly book: ConfigBook;
  readonly workers: WorkerPool;
  readonly live: LiveControl;
  readonly jobs: JobControl;
  readonly revision: () => Revision;
  readonly actions: LaneActions;
  /** Resolves once whoever has the lanes holds them, or lets them go. */
  readonly holdsChanged: () => Promise<void>;
  readonly trials: TrialsPort;
  readonly clock: Clock;
}

/** What the admin API looks at and changes, out of the parts of a gateway. */
export function adminPorts({
  log,
  book,
  workers,
  live,
  jobs,
  revision,
  actions,
  holdsChanged,
  trials,
  clock,
}: AdminParts): AdminPorts {
  return {
    tokens: () => book.running.settings.ops.tokens,
    reader: log,
    lanes: log,
    storage: log,
    erase: (stream, sequences, at) => log.erase(stream, sequences, at),
    control: log.control,
    acceptLoss: log.acceptLoss?.bind(log),
    revision,
    config: telling(book.port, live),
    trials,
    jobs,
    previewJob: (spec, options) => actions.preview(spec, options),
    workers: {
      status: async () => (await workers.status()).map((lane) => ({ ...lane, lastError: lane.lastError?.message })),
      holdsChanged,
      reread: (tenantId) => workers.reread(tenantId),
      skip: (lane, sequence, reason) => actions.skip({ lane, sequence, reason }),
    },
    plugins: () =>
      knownPlugins(PLUGINS, book.running.uses).map(({ name, kind, version, summary, module, schema = null }) => {
        return { name, kind, version, summary, source: sourceOf({ module }), config: schema };
      }),
    checkSink: (tenantId, sink, signal) => checkSink(revision(), { tenantId, sink }, signal),
    keysChanged: () => live.changed(),
    randomFill: (bytes) => void randomFillSync(bytes),
    clock,
  };
}

/** The same, which lets other processes know of what it has changed. */
function telling(config: ConfigPort, live: LiveControl): ConfigPort {
  const then = async (change: Promise<number>): Promise<number> => {
    const number = await change;
    await live.changed();
    return number;
  };
  return {
    ...config,
    apply: (text, by, expected) => then(config.apply(text, by, expected)),
    rollBack: (number, by, expected) => then(config.rollBack(number, by, expected)),
  };
}
