import { PulseGateError } from "../core/canonical/errors.ts";
import type { Clock, Logger, Random } from "../core/environment.ts";
import {
  type Claim,
  type Claims,
  laneKey,
  type LaneStore,
  type LogReader,
  slotOf,
  streamKey,
} from "../core/ingestion/log.ts";
import type { LaneMetrics } from "../core/ingestion/metrics.ts";
import type { JobLaneSight, JobOrder } from "../core/ingestion/jobs.ts";
import type { PreviewRequest, SinkPreview } from "../core/ingestion/preview.ts";
import type { Revision } from "../core/ingestion/revision.ts";
import type { PluginDefinition, PluginMetrics } from "../plugins/contract.ts";
import { Committer } from "./committer.ts";
import { warnOfCuts } from "./cut-off.ts";
import type { WorkerDeps } from "./deps.ts";
import { JobRole } from "./job-role.ts";
import { liveRole } from "./lane-role.ts";
import { LaneSet } from "./lane-set.ts";
import type { LaneRunner } from "./lane.ts";
import { storeBackoffMs } from "./lane-commit.ts";
import { type LaneStatus, measureLanes, sightOf, statusOf } from "./lane-status.ts";
import { LiveTurns } from "./live-turns.ts";
import { Pace } from "./pace.ts";
import { previewLanes } from "./preview.ts";
import { ReadBudget } from "./read-budget.ts";
import { skipPosition, type SkipRequest } from "./skip.ts";
import { Timers } from "./timers.ts";
import { Turns } from "./turns.ts";

/** Bytes that the lanes of one worker hold or read ahead, in all. */
const WINDOW_BYTES_MAX = 128 * 1024 * 1024;
/** Before a lane that was fenced, though its slot is still ours, is opened again. */
const REOPEN_MS = 200;
/** Plugins get so long to close even when the deadline has passed. */
const CLOSE_MIN_MS = 250;

export interface WorkerOptions {
  readonly log: LogReader & LaneStore;
  /** Unique among the workers that share the log. */
  readonly workerId: string;
  readonly revision: Revision;
  /** As `LaneWorker.hold`. */
  readonly paused?: readonly string[] | undefined;
  /** The jobs that run at the start. */
  readonly jobs?: readonly JobOrder[] | undefined;
  readonly findPlugin: (name: string) => PluginDefinition | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: LaneMetrics;
  readonly pluginMetrics?: ((plugin: string) => PluginMetrics) | undefined;
  readonly windowBytesMax?: number | undefined;
  /** Lanes wait for one another's sinks, as nothing here ever should: shows whoever measures fairness what that is like. */
  readonly lanesInLine?: boolean | undefined;
  /** Where it is kept which events are with a plugin that may die; absent: in memory alone. */
  readonly flights?: WorkerDeps["flights"];
}

/** All lanes of the slots that one worker holds. Runs in one event loop; `pool.ts` puts it on threads. */
export interface LaneWorker {
  /**
   * Adds, removes and changes lanes to match the revision; lanes that it leaves as they are go on
   * undisturbed. Resolves when new lanes are open: what is accepted from then on is theirs. Rejects,
   * changing nothing, if the revision names an unknown plugin.
   */
  apply(revision: Revision): Promise<void>;
  /**
   * Runs all lanes but these (lane keys). Resolves when those that are paused now have finished what was
   * under way and committed it, and the others run.
   */
  hold(paused: readonly string[]): Promise<void>;
  /**
   * Lets a tenant's lanes, those of jobs included, forget what they have read ahead and read it again: after
   * an erasure. Resolves when what was under way is over.
   */
  reread(tenantId: string): Promise<void>;
  /** Settles the event at a paused lane's cursor as a dead letter. False when the lane's slot isn't held here; rejects with `conflict`. */
  skip(request: SkipRequest): Promise<boolean>;
  /** Runs the lanes of these jobs, and of no others. Resolves when those that are to end have committed what was under way. */
  run(jobs: readonly JobOrder[]): Promise<void>;
  /** What today's configuration would make of a job's events: of those lanes whose slots are held here. */
  preview(request: PreviewRequest): Promise<SinkPreview[]>;
  /** Of the live lanes. */
  status(): Promise<LaneStatus[]>;
  /** The lanes of jobs that run here, and what they wait for. */
  sights(): JobLaneSight[];
  /** Reports lag and breaker of every lane to the metrics. */
  measure(): Promise<void>;
  /** Finishes deliveries under way, commits, closes plugins, gives the slots back; from the deadline on cancels what is left. */
  stop(deadlineMs: number): Promise<void>;
}

/** Starts a worker; resolves when the lanes of the slots that it holds are open. */
export async function createWorker(options: WorkerOptions): Promise<LaneWorker> {
  const worker = new Worker(options);
  await worker.start();
  return worker;
}

class Worker implements LaneWorker {
  readonly #deps: WorkerDeps;
  readonly #options: WorkerOptions;
  readonly #lanes: LaneSet;
  readonly #jobs: LaneSet;
  readonly #jobRole: JobRole;
  readonly #ended = new AbortController();
  #revision: Revision;
  #paused: ReadonlySet<string>;
  #claims: Claims | undefined;
  #held: ReadonlyMap<number, Claim> = new Map();
  #arrivals: AbortController | undefined;
  #listened: string | undefined;
  #reconciling: Promise<void> = Promise.resolve();
  #stopping: Promise<void> | undefined;

  constructor(options: WorkerOptions) {
    const { log, clock, random, logger, metrics, findPlugin } = options;
    this.#options = options;
    this.#revision = options.revision;
    this.#paused = new Set(options.paused);
    const timers = new Timers(clock);
    this.#deps = {
      log,
      random,
      logger,
      metrics,
      findPlugin,
      timers,
      turns: new Turns(timers),
      liveTurns: new LiveTurns(clock),
      committer: new Committer(log),
      pace: new Pace(clock),
      budget: new ReadBudget(options.windowBytesMax ?? WINDOW_BYTES_MAX),
      lanesInLine: options.lanesInLine ?? false,
      flights: options.flights,
      pluginMetrics: options.pluginMetrics ?? (() => NO_METRICS),
    };
    const onFenced = (lane: LaneRunner) => void this.#afterFenced(lane);
    this.#lanes = new LaneSet({ deps: this.#deps, role: liveRole(log), onFenced });
    this.#jobRole = new JobRole(this.#deps, (tenantId, sink) => this.#lanes.target(tenantId, sink));
    this.#jobRole.orders = options.jobs ?? [];
    // Plugins of jobs are instances of their own: what they have in flight is kept apart from the live ones'.
    const { flights } = this.#deps;
    const ofJobs = { ...this.#deps, flights: flights && ((key: string) => flights(`jobs ${key}`)) };
    this.#jobs = new LaneSet({ deps: ofJobs, role: this.#jobRole, onFenced });
  }

  async start(): Promise<void> {
    this.#lanes.check(this.#revision);
    await new Promise<void>((resolve) => void this.#followClaims(resolve).then(resolve));
  }

  apply(revision: Revision): Promise<void> {
    return this.#serially(async () => {
      this.#lanes.check(revision);
      this.#revision = revision;
      await this.#reconcile();
    });
  }

  hold(paused: readonly string[]): Promise<void> {
    return this.#serially(async () => {
      this.#paused = new Set(paused);
      await this.#reconcile();
    });
  }

  reread(tenantId: string): Promise<void> {
    return this.#serially(async () => {
      const keysOf = (lanes: LaneSet) =>
        lanes
          .all()
          .filter(({ lane }) => lane.stream.tenantId === tenantId)
          .map(({ lane }) => laneKey(lane));
      await this.#lanes.match(this.#revision, this.#held, new Set([...this.#paused, ...keysOf(this.#lanes)]));
      await this.#jobs.match(this.#revision, this.#held, new Set(keysOf(this.#jobs)));
      await this.#reconcile();
    });
  }

  async skip(request: SkipRequest): Promise<boolean> {
    const { log, clock } = this.#options;
    let isOurs = false;
    // Between two reconciles: nobody starts the lane meanwhile.
    await this.#serially(async () => {
      const claim = this.#held.get(slotOf(request.lane.stream));
      if (claim === undefined) return;
      isOurs = true;
      const key = laneKey(request.lane);
      if (!this.#paused.has(key)) throw new PulseGateError("conflict", `the lane ${key} runs: pause it first`);
      await skipPosition({ log, claim, clock, configRevision: this.#revision.number }, request);
    });
    return isOurs;
  }

  run(jobs: readonly JobOrder[]): Promise<void> {
    return this.#serially(async () => {
      this.#jobRole.orders = jobs;
      await this.#reconcile();
      this.#jobs.wakeAll();
    });
  }

  async preview(request: PreviewRequest): Promise<SinkPreview[]> {
    const tenant = this.#revision.tenants.find(({ id }) => id === request.tenantId);
    if (tenant === undefined) return [];
    const lanes = request.lanes.filter(({ lane }) => this.#held.has(slotOf(lane.stream)));
    return previewLanes({ deps: this.#deps, request: { ...request, lanes }, tenant });
  }

  async status(): Promise<LaneStatus[]> {
    return statusOf(this.#deps, this.#lanes.all());
  }

  sights(): JobLaneSight[] {
    return this.#jobs.all().map(sightOf);
  }

  async measure(): Promise<void> {
    await measureLanes(this.#deps, this.#lanes.all());
  }

  stop(deadlineMs: number): Promise<void> {
    this.#stopping ??= this.#stop(deadlineMs);
    return this.#stopping;
  }

  async #stop(deadlineMs: number): Promise<void> {
    const { timers } = this.#deps;
    let cut: readonly LaneRunner[] = [];
    const deadline = timers.after(deadlineMs, () => {
      cut = [...this.#lanes.abort(), ...this.#jobs.abort()];
    });
    this.#ended.abort();
    this.#arrivals?.abort();
    const until = timers.now() + deadlineMs;
    // A reconcile under way may still open lanes; those are stopped, too.
    await this.#reconciling;
    const leftMs = () => Math.max(CLOSE_MIN_MS, until - timers.now());
    await Promise.all([this.#lanes.close(leftMs), this.#jobs.close(leftMs)]);
    deadline.cancel();
    if (cut.length > 0) await warnOfCuts(this.#deps, cut);
    await this.#claims?.release().catch((error: unknown) => this.#storeFailed("release claims", error));
    timers.close();
  }

  /** Resolves when claims end; calls `opened` when a set of claims has its lanes. */
  async #followClaims(opened: () => void): Promise<void> {
    for (let attempt = 1; !this.#ended.signal.aborted; attempt++) {
      try {
        this.#claims = await this.#options.log.claims(this.#options.workerId);
        for await (const claims of this.#claims.held(this.#ended.signal)) {
          attempt = 1;
          await this.#take(new Map(claims.map((claim) => [claim.slot, claim])));
          opened();
        }
        return;
      } catch (error) {
        this.#storeFailed("follow its claims", error);
        await this.#deps.timers.pause(storeBackoffMs(this.#deps, attempt));
      }
    }
  }

  async #take(held: ReadonlyMap<number, Claim>): Promise<void> {
    // Ahead of whatever is being reconciled: a lost claim ends its lanes at once.
    this.#lanes.lose(held);
    this.#jobs.lose(held);
    await this.#serially(async () => {
      this.#held = held;
      await this.#reconcile();
    });
  }

  #serially(step: () => Promise<void>): Promise<void> {
    const done = this.#reconciling.then(step);
    this.#reconciling = done.catch(() => undefined);
    return done;
  }

  async #reconcile(): Promise<void> {
    for (let attempt = 1; !this.#ended.signal.aborted; attempt++) {
      try {
        this.#listen();
        await this.#lanes.match(this.#revision, this.#held, this.#paused);
        return await this.#jobs.match(this.#revision, this.#held);
      } catch (error) {
        this.#storeFailed("open lanes", error);
        await this.#deps.timers.pause(storeBackoffMs(this.#deps, attempt));
      }
    }
  }

  /** Only a cursor that another moved is worth a second look; a lost claim comes back by `held`, if at all. */
  async #afterFenced(lane: LaneRunner): Promise<void> {
    const { timers, log } = this.#deps;
    await timers.pause(REOPEN_MS);
    const state = await log.loadLane(lane.lane).catch(() => undefined);
    if (state?.cursor === lane.cursor || this.#ended.signal.aborted) return;
    await this.#serially(() => this.#reconcile());
  }

  /** Listening begins before the lanes' next reads, so that nothing comes unseen in between. */
  #listen(): void {
    const slots = [...this.#held.keys()].sort((a, b) => a - b).join();
    if (this.#listened === slots) return;
    this.#listened = slots;
    this.#arrivals?.abort();
    this.#arrivals = new AbortController();
    void this.#wakeOnArrivals(new Set(this.#held.keys()), this.#arrivals.signal);
    this.#lanes.wakeAll();
  }

  async #wakeOnArrivals(slots: ReadonlySet<number>, signal: AbortSignal): Promise<void> {
    for (let attempt = 1; !signal.aborted && !this.#ended.signal.aborted; attempt++) {
      try {
        for await (const streams of this.#options.log.arrivals(slots, signal)) {
          attempt = 1;
          for (const stream of streams) this.#lanes.wake(streamKey(stream));
        }
        if (signal.aborted) return;
      } catch (error) {
        if (signal.aborted) return;
        this.#storeFailed("watch for arrivals", error);
      }
      await this.#deps.timers.pause(storeBackoffMs(this.#deps, attempt));
      // What came while nobody listened is not announced again; the new call listens before these read.
      queueMicrotask(() => this.#lanes.wakeAll());
    }
  }

  #storeFailed(action: string, error: unknown): void {
    const code = error instanceof PulseGateError ? error.code : "internal";
    const reason = error instanceof Error ? error.message : String(error);
    this.#deps.logger.error({ code, reason }, `worker could not ${action}; trying again`);
  }
}

const NO_METRICS: PluginMetrics = { count: () => undefined, observe: () => undefined };
