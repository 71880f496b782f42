import { randomBytes, randomFillSync } from "node:crypto";
import { startHttp } from "../adapters/http/index.ts";
import { startOps } from "../adapters/admin/index.ts";
import type { ConfigState } from "../adapters/admin/index.ts";
import type { Problem } from "../config/problems.ts";
import type { ProcessSettings, RevisionDraft } from "../config/revision.ts";
import type { Clock, Logger } from "../core/environment.ts";
import { createIds } from "../core/canonical/id.ts";
import type { Ids } from "../core/canonical/id.ts";
import { createAdmission } from "../core/ingestion/admit.ts";
import type { Admission } from "../core/ingestion/admit.ts";
import { pausedLanes } from "../core/ingestion/lane-holds.ts";
import { loadStoredKeys, withStoredKeys } from "../core/ingestion/stored-keys.ts";
import type { StoredKeys } from "../core/ingestion/stored-keys.ts";
import { fateOf } from "../core/ingestion/fate.ts";
import { createIngestor } from "../core/ingestion/ingest.ts";
import type { Revision } from "../core/ingestion/revision.ts";
import type { Capacity } from "../core/qps/capacity.ts";
import { createDoor } from "../core/qps/door.ts";
import type { Door } from "../core/qps/door.ts";
import { METRICS_CONTENT_TYPE } from "../observability/metrics.ts";
import type { Metrics } from "../observability/metrics.ts";
import { startWorkers } from "../workers/pool.ts";
import { adminPorts } from "./admin-ports.ts";
import { askedWorkers, localActions, performed } from "./lane-actions.ts";
import { watchBacklog } from "./backlog.ts";
import { tenantsOf } from "./config-book.ts";
import type { ConfigBook } from "./config-book.ts";
import { Errands, everyoneLooks } from "./errands.ts";
import { measureLedger } from "./ledger.ts";
import { followControl } from "./live-control.ts";
import { startJobs } from "./jobs.ts";
import { NO_WORKERS } from "./no-workers.ts";
import { measureResting, warnOfOrphans } from "./orphans.ts";
import { oneAtATime } from "./one-at-a-time.ts";
import type { ProcessLog, SharedAs } from "./process-log.ts";
import { adoptRevision, swapRevision } from "./revisions.ts";
import { ruleOf, startRetention } from "./retention.ts";
import { dutiesOf } from "./roles.ts";
import type { Role } from "./roles.ts";
import { startSharing } from "./sharing.ts";
import type { Sharing } from "./sharing.ts";
import type { Teardown } from "./teardown.ts";
import { clearTrials, Trials } from "./trials.ts";

export interface GatewayOptions {
  readonly settings: ProcessSettings;
  /** Has the configuration that is to run, and runs what comes after it. */
  readonly book: ConfigBook;
  readonly log: ProcessLog;
  /** Absent: the log is this process's alone. */
  readonly sharedAs?: SharedAs | undefined;
  readonly role: Role;
  readonly lanesInLine?: boolean | undefined;
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
const RELAXED = "durability is relaxed: the log's backend may lose accepted events";

/** One process: by its role it has the door on this thread, workers on theirs, the admin API on its operations port. */
export interface Gateway {
  /** Undefined for a role that takes no events. */
  readonly dataUrl: string | undefined;
  readonly opsUrl: string;
  readonly revision: number;
  /** Keeps what was wrong with a configuration that was not accepted, for operators to read. */
  refuse(problems: readonly Problem[]): void;
  /** Resolves with the reason when the gateway can't go on: the process must end. */
  readonly failed: Promise<Error>;
}

/** Starts forward, each part on what the one before offers. Rejects when one can't start; those before it are the teardown's. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { settings, book, log, logger, metrics, capacity, clock, teardown, role } = options;
  const duties = dutiesOf(role);
  let configured = await adoptRevision(log, book.running.draft);
  const isAlone = options.sharedAs === undefined;
  if (duties.administers) await clearTrials({ log, configured: () => configured.tenants, isAlone });
  /** With the tenants of trials. */
  let revision = configured;
  let config = stateOf(configured, clock);
  let stored: StoredKeys = new Map();
  let paused = await pausedLanes(log.control);
  let draining = false;
  const failed = Promise.withResolvers<Error>();
  void log.failed.then((error) => failed.resolve(error));

  metrics.tenants.configure(configured.tenants);
  const workers = duties.delivers
    ? await startWorkers({
        count: settings.workers.threads,
        handle: (worker) => log.handle(worker),
        revision,
        paused,
        named: () => metrics.tenants.names(),
        lanesInLine: options.lanesInLine,
        logger,
        onFatal: (error) => failed.resolve(error),
      })
    : NO_WORKERS;
  teardown.add({ name: "deliveries", share: 0.1, stop: (deadlineMs) => workers.stop(deadlineMs) });
  const jobs = startJobs({
    log,
    revision: () => revision,
    workers: duties.delivers ? workers : undefined,
    clock,
    random: Math.random,
    logger,
    onChange: () => live.changed(),
  });
  teardown.add({ name: "jobs", share: 0.01, stop: () => jobs.stop() });
  if (duties.delivers) {
    const stopRetention = startRetention({
      ...{ log, metrics: metrics.retention, clock, logger },
      jobs: () => jobs.control.unended(),
      rule: (tenantId) =>
        ruleOf(
          settings.log.retention,
          revision.tenants.find(({ id }) => id === tenantId),
        ),
    });
    teardown.add({ name: "retention", share: 0.01, stop: stopRetention });
  }

  const orphans = { log, tenants: () => revision.tenants, metrics: metrics.lanes, clock, logger };
  await warnOfOrphans(orphans);

  const sharing = await shareIfShared(options);
  const door = createDoor(revision, clock, sharing && ((tenantId) => sharing.shareOf(tenantId)));
  const admission = createAdmission(revision);
  /** Those of the configuration and those made since; gives the time at which that changes by itself. */
  const admit = (): number | undefined => {
    const { tenants, changesAt } = withStoredKeys(revision.tenants, stored, clock.now());
    admission.apply({ tenants });
    return changesAt;
  };
  const serially = oneAtATime();
  const run = (next: Revision): Promise<void> => {
    const running = trials.beside(next);
    metrics.tenants.configure(running.tenants);
    return workers.apply(running);
  };
  const open = (): void => {
    revision = trials.beside(configured);
    admit();
    door.apply(revision);
  };
  const apply = (draft: RevisionDraft, expected?: number): Promise<Revision> =>
    serially(async () => {
      // Lanes first, then the door: no event is accepted for a sink that has no lane yet.
      configured = await swapRevision({ log, draft, running: configured, workers: { apply: run }, expected });
      open();
      config = stateOf(configured, clock);
      metrics.config.running(configured.number);
      await warnOfOrphans(orphans);
      return configured;
    });
  const tenantAt = tenantsOf({ book, revision: () => revision });
  const local = localActions({ jobs: jobs.control, log, workers, tenantAt });
  const errands =
    options.sharedAs &&
    new Errands({
      ...{ control: log.control, clock, logger },
      instance: options.sharedAs.instance,
      perform: (errand) => performed(local, errand),
      tell: () => live.changed(),
    });
  const trials = new Trials({
    log,
    read: (text) => book.read(text),
    configured: () => configured.tenants,
    refresh: () => serially(() => run(configured).then(open)),
    everywhere: errands && (() => everyoneLooks(errands)),
    ends: duties.administers,
    newId: () => randomBytes(6).toString("hex"),
    clock,
    logger,
  });
  teardown.add({ name: "trials", share: 0.01, stop: async () => trials.stop() });
  await book.attach({ apply, state: () => config });
  const live = await followControl({
    control: log.control,
    clock,
    logger,
    async load() {
      stored = await loadStoredKeys(log.control);
      const next = await pausedLanes(log.control);
      if (next.join() !== paused.join()) await workers.hold(next);
      paused = next;
      jobs.changed();
      await followBook(options);
      await trials.follow();
      // Whoever asked has changed before what it asks about.
      await errands?.look();
      return admit();
    },
  });
  teardown.add({ name: "the watch of keys and lanes", share: 0.01, stop: () => live.stop() });
  const ids = createIds({ clock, randomFill: randomFillSync });
  const sharingState = sharing && (() => sharing.state());
  const actions = errands === undefined ? local : askedWorkers(errands);
  const holdsChanged = (): Promise<void> => (errands === undefined ? live.changed() : everyoneLooks(errands));
  const admin = {
    ...{ log, book, workers, live, jobs: jobs.control, revision: () => revision, trials, clock },
    ...{ actions, holdsChanged },
  };
  const ops = await startOps({
    ...settings.ops,
    checks: [{ name: "log", check: () => log.probe(), note: () => log.durability && RELAXED }],
    details: () => ({ role, ...(sharingState && duties.takesEvents ? { quotas: sharingState() } : {}) }),
    draining: () => draining,
    metrics: async () => {
      // Of the log as a whole: told by one role alone, so that processes can be added up.
      // A log that can't be read is what metrics must tell of: without its figures, not without all others.
      if (duties.administers) {
        const once = lanesOnce(log);
        await measureResting({ ...orphans, log: once, paused: () => paused })
          .then(() => measureLedger({ log: once, metrics, logger }))
          .then(async () => metrics.retention.disk((await log.diskUse()) ?? { usedBytes: 0, isFreeing: false }))
          .catch((error: unknown) => logger.warn({ error }, "the lanes could not be measured"));
      }
      if (sharingState && duties.takesEvents) metrics.sharing(sharingState());
      // Before all others, which follow it.
      const threads = await workers.scrape(metrics.tenants.decide());
      metrics.inFlight(capacity.costs());
      return metrics.text(threads);
    },
    metricsContentType: METRICS_CONTENT_TYPE,
    admin: duties.administers ? adminPorts(admin) : undefined,
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
  const dataUrl = duties.takesEvents
    ? await openDoor(options, { admission, door, ids, limits: () => revision.limits, tenants: () => revision.tenants })
    : undefined;
  teardown.add({
    name: "readiness",
    share: 0,
    stop() {
      draining = true;
    },
  });
  metrics.config.running(revision.number);

  return {
    dataUrl,
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

/** Reads all lanes at most once: there may be ten thousand. */
function lanesOnce(log: ProcessLog): Pick<ProcessLog, "lanes" | "bounds" | "read"> {
  let all: ReturnType<ProcessLog["lanes"]> | undefined;
  return {
    lanes: () => (all ??= log.lanes()),
    bounds: (stream) => log.bounds(stream),
    read: (stream, from, limits) => log.read(stream, from, limits),
  };
}

async function shareIfShared({
  log,
  sharedAs,
  role,
  clock,
  logger,
  teardown,
}: GatewayOptions): Promise<Sharing | undefined> {
  if (sharedAs === undefined) return undefined;
  const sharing = await startSharing({ control: log.control, instance: sharedAs.instance, role, clock, logger });
  teardown.add({ name: "the place among the processes", share: 0.01, stop: () => sharing.stop() });
  return sharing;
}

/** What runs stays when another process applied what can't run here. */
async function followBook({ book, logger, metrics }: GatewayOptions): Promise<void> {
  try {
    const number = await book.follow();
    if (number !== undefined) logger.info({ revision: number }, "configuration changed by another process");
  } catch (error) {
    metrics.config.refused();
    logger.error({ error }, "the configuration that another process applied can't run here; the running one stays");
  }
}

interface DoorParts {
  readonly admission: Admission;
  readonly door: Door;
  readonly ids: Ids;
  readonly limits: () => Revision["limits"];
  readonly tenants: () => Revision["tenants"];
}

/** The data port; its base URL. */
async function openDoor(options: GatewayOptions, parts: DoorParts): Promise<string> {
  const { settings, log, metrics, logger, clock, capacity, teardown } = options;
  const { admission, door, ids, limits, tenants } = parts;
  const stopBacklog = watchBacklog({ log, door, tenants, clock, logger });
  teardown.add({ name: "the watch of backlogs", share: 0.01, stop: stopBacklog });
  const http = await startHttp({
    host: settings.http.host,
    port: settings.http.port,
    ingestor: createIngestor({ log, metrics: metrics.ingest }),
    fate: (tenantId, id) => fateOf({ reader: log, lanes: log }, tenantId, id),
    metrics: metrics.ingest,
    ...{ admission, door, capacity, limits, ids, logger, clock },
  });
  teardown.add({
    name: "requests",
    share: 0.1,
    shareMax: DRAIN_SHARE_MAX,
    stop: (deadlineMs) => http.drain(deadlineMs),
  });
  return url(http.address);
}

function stateOf(revision: Revision, clock: Clock): Omit<ConfigState, "origin"> {
  return { revision: revision.number, appliedAt: clock.now(), tenantIds: revision.tenants.map((tenant) => tenant.id) };
}

function url({ host, port }: { readonly host: string; readonly port: number }): string {
  const reachable =
    host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "[::1]" : host.includes(":") ? `[${host}]` : host;
  return `http://${reachable}:${port}`;
}
