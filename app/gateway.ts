import { randomBytes, randomFillSync } from "node:crypto";
import { startHttp } from "../adapters/http/index.ts";
import { startOps } from "../adapters/admin/index.ts";
import type { ConfigState } from "../adapters/admin/index.ts";
import type { Problem } from "../config/problems.ts";
import type { ProcessSettings, RevisionDraft } from "../config/revision.ts";
import type { Clock, Logger } from "../core/environment.ts";
import { createIds } from "../core/canonical/id.ts";
import { createAdmission } from "../core/ingestion/admit.ts";
import { pausedLanes } from "../core/ingestion/lane-holds.ts";
import { loadStoredKeys, withStoredKeys } from "../core/ingestion/stored-keys.ts";
import type { StoredKeys } from "../core/ingestion/stored-keys.ts";
import { fateOf } from "../core/ingestion/fate.ts";
import { createIngestor } from "../core/ingestion/ingest.ts";
import type { Revision } from "../core/ingestion/revision.ts";
import type { Capacity } from "../core/qps/capacity.ts";
import { createDoor } from "../core/qps/door.ts";
import type { EmbeddedLog } from "../drivers/embedded/index.ts";
import { METRICS_CONTENT_TYPE, mergeMetrics } from "../observability/metrics.ts";
import type { Metrics } from "../observability/metrics.ts";
import { startWorkers } from "../workers/pool.ts";
import { adminPorts } from "./admin-ports.ts";
import { watchBacklog } from "./backlog.ts";
import type { ConfigBook } from "./config-book.ts";
import { measureLedger } from "./ledger.ts";
import { followControl } from "./live-control.ts";
import { startJobs } from "./jobs.ts";
import { measureResting, warnOfOrphans } from "./orphans.ts";
import { oneAtATime } from "./one-at-a-time.ts";
import { adoptRevision, swapRevision } from "./revisions.ts";
import { startRetention } from "./retention.ts";
import type { Teardown } from "./teardown.ts";
import { clearTrials, Trials } from "./trials.ts";

export interface GatewayOptions {
  readonly settings: ProcessSettings;
  /** Has the configuration that is to run, and runs what comes after it. */
  readonly book: ConfigBook;
  readonly log: EmbeddedLog;
  readonly metrics: Metrics;
  readonly capacity: Capacity;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Gets all that is started here: stopped in reverse it accepts nothing new, finishes what is in flight, commits. */
  readonly teardown: Teardown;
}

/** Of the time to stop, for requests under way; the rest is for deliveries under way. */
const DRAIN_SHARE_MAX = 0.5;
const OPS_SHARE = 0.03;

/** All roles in one process: the door and the operations port on this thread, the workers on theirs. */
export interface Gateway {
  readonly dataUrl: string;
  readonly opsUrl: string;
  readonly revision: number;
  /** Keeps what was wrong with a configuration that was not accepted, for operators to read. */
  refuse(problems: readonly Problem[]): void;
  /** Resolves with the reason when the gateway can't go on: the process must end. */
  readonly failed: Promise<Error>;
}

/** Starts forward, each part on what the one before offers. Rejects when one can't start; those before it are the teardown's. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { settings, book, log, logger, metrics, clock, teardown } = options;
  let configured = await adoptRevision(log, book.running.draft);
  await clearTrials({ log, configured: () => configured.tenants });
  /** With the tenants of trials. */
  let revision = configured;
  let config = stateOf(configured, clock);
  let stored: StoredKeys = new Map();
  let paused = await pausedLanes(log.control);
  let draining = false;
  const failed = Promise.withResolvers<Error>();
  void log.failed.then((error) => failed.resolve(error));

  const workers = await startWorkers({
    count: settings.workers.threads,
    handle: (worker) => log.handle(worker),
    revision,
    paused,
    logger,
    onFatal: (error) => failed.resolve(error),
  });
  teardown.add({ name: "deliveries", share: 0.1, stop: (deadlineMs) => workers.stop(deadlineMs) });
  const jobs = startJobs({
    log,
    revision: () => revision,
    run: (orders) => workers.run(orders),
    clock,
    random: Math.random,
    logger,
  });
  teardown.add({ name: "jobs", share: 0.01, stop: () => jobs.stop() });
  const stopRetention = startRetention({
    log,
    jobs: () => jobs.control.unended(),
    retentionMs: settings.log.retentionMs,
    clock,
    logger,
  });
  teardown.add({ name: "retention", share: 0.01, stop: stopRetention });

  const orphans = { log, tenants: () => revision.tenants, metrics: metrics.lanes, clock, logger };
  await warnOfOrphans(orphans);

  const admission = createAdmission(revision);
  /** Those of the configuration and those made since; gives the time at which that changes by itself. */
  const admit = (): number | undefined => {
    const { tenants, changesAt } = withStoredKeys(revision.tenants, stored, clock.now());
    admission.apply({ tenants });
    return changesAt;
  };
  const live = await followControl({
    control: log.control,
    clock,
    logger,
    async load() {
      stored = await loadStoredKeys(log.control);
      const next = await pausedLanes(log.control);
      if (next.join() !== paused.join()) await workers.hold(next);
      paused = next;
      return admit();
    },
  });
  teardown.add({ name: "the watch of keys and lanes", share: 0.01, stop: () => live.stop() });
  const ids = createIds({ clock, randomFill: randomFillSync });
  const door = createDoor(revision, clock);
  const stopBacklog = watchBacklog({ log, door, tenants: () => revision.tenants, clock, logger });
  teardown.add({ name: "the watch of backlogs", share: 0.01, stop: stopBacklog });
  const serially = oneAtATime();
  const run = (next: Revision): Promise<void> => workers.apply(trials.beside(next));
  const open = (): void => {
    revision = trials.beside(configured);
    admit();
    door.apply(revision);
  };
  const apply = (draft: RevisionDraft): Promise<Revision> =>
    serially(async () => {
      // Lanes first, then the door: no event is accepted for a sink that has no lane yet.
      configured = await swapRevision({ log, draft, running: configured, workers: { apply: run } });
      open();
      config = stateOf(configured, clock);
      metrics.config.running(configured.number);
      await warnOfOrphans(orphans);
      return configured;
    });
  const trials = new Trials({
    log,
    read: (text) => book.read(text),
    configured: () => configured.tenants,
    refresh: () => serially(() => run(configured).then(open)),
    newId: () => randomBytes(6).toString("hex"),
    clock,
    logger,
  });
  teardown.add({ name: "trials", share: 0.01, stop: async () => trials.stop() });
  await book.attach({ apply, state: () => config });
  const ops = await startOps({
    ...settings.ops,
    checks: [{ name: "log", check: () => log.probe() }],
    draining: () => draining,
    metrics: async () => {
      await measureResting({ ...orphans, paused: () => paused });
      await measureLedger({ log, metrics, logger });
      return mergeMetrics([await metrics.collect(), ...(await workers.scrape())]);
    },
    metricsContentType: METRICS_CONTENT_TYPE,
    admin: adminPorts({ log, book, workers, live, jobs: jobs.control, revision: () => revision, trials, clock }),
    ids,
    logger,
    clock,
  });
  teardown.add({
    name: "the operations port",
    share: OPS_SHARE,
    shareMax: OPS_SHARE,
    stop: (deadlineMs) => ops.close(deadlineMs),
  });

  const http = await startHttp({
    host: settings.http.host,
    port: settings.http.port,
    ingestor: createIngestor({ log, metrics: metrics.ingest }),
    admission,
    door,
    capacity: options.capacity,
    fate: (tenantId, id) => fateOf({ reader: log, lanes: log }, tenantId, id),
    limits: () => revision.limits,
    ids,
    logger,
    metrics: metrics.ingest,
    clock,
  });
  teardown.add({
    name: "requests",
    share: 0.1,
    shareMax: DRAIN_SHARE_MAX,
    stop(deadlineMs) {
      draining = true;
      return http.drain(deadlineMs);
    },
  });
  metrics.config.running(revision.number);

  return {
    dataUrl: url(http.address),
    opsUrl: url(ops.address),
    get revision() {
      return revision.number;
    },
    refuse(problems) {
      config = { ...config, refused: { at: clock.now(), problems } };
      metrics.config.refused();
    },
    failed: failed.promise,
  };
}

function stateOf(revision: Revision, clock: Clock): Omit<ConfigState, "origin"> {
  return { revision: revision.number, appliedAt: clock.now(), tenantIds: revision.tenants.map((tenant) => tenant.id) };
}

function url({ host, port }: { readonly host: string; readonly port: number }): string {
  const reachable =
    host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "[::1]" : host.includes(":") ? `[${host}]` : host;
  return `http://${reachable}:${port}`;
}
