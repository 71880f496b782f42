import { isErrorCode, PulseGateError } from "../canonical/errors.ts";
import type { Clock, Random } from "../environment.ts";
import { canaryStep } from "./job-canary.ts";
import { countsOf, isEnded, progressOf } from "./job-counts.ts";
import { estimateMsOf, speedOf } from "./job-estimate.ts";
import { expired, isStale } from "./job-retention.ts";
import { ordersOf } from "./job-orders.ts";
import { withWaits } from "./job-waits.ts";
import { isRate, type JobPlan, planJob, type PlanSources } from "./job-plan.ts";
import type { Job, JobLaneSight, JobOrder, JobProgress, JobRate, JobSpec, JobState } from "./jobs.ts";
import type { ControlStore, LaneState, LaneStore } from "./log.ts";
import type { Revision } from "./revision.ts";

export interface JobControlOptions extends PlanSources {
  readonly lanes: PlanSources["lanes"] & Pick<LaneStore, "loadLane" | "openLane">;
  readonly control: ControlStore;
  readonly clock: Clock;
  readonly random: Random;
  /** The running one. */
  readonly revision: () => Pick<Revision, "tenants">;
}

/** A job with the version of its document, for changes that must not undo another's. */
export interface VersionedJob {
  readonly job: Job;
  readonly version: number;
}

/**
 * The jobs of a log: kept in its control documents, so that they outlive every process; what their lanes
 * have done is kept by the lanes themselves. Changes reject with `not_found`, with `conflict` when the
 * job's state does not allow them, with `version_conflict` when `version` is not the newest.
 */
export interface JobControl {
  /** Plans a job, which then waits to be started. Rejects with `malformed_request` when it can't be. */
  create(spec: JobSpec): Promise<VersionedJob>;
  /** The same plan without a job that waits. */
  plan(spec: JobSpec): Promise<JobPlan>;
  get(id: string): Promise<VersionedJob>;
  /** The newest first. */
  list(tenantId?: string): Promise<VersionedJob[]>;
  /** A plan that is older than a day is refused with `conflict`: what it counted may be gone from the log. */
  start(id: string, version?: number): Promise<VersionedJob>;
  pause(id: string, version?: number): Promise<VersionedJob>;
  resume(id: string, version?: number): Promise<VersionedJob>;
  cancel(id: string, version?: number): Promise<VersionedJob>;
  setRate(id: string, rate: JobRate, version?: number): Promise<VersionedJob>;
  progress(job: Job): Promise<JobProgress>;
  /**
   * Ends the jobs whose lanes are through and those that can't go on, and tells what the workers are to run.
   * To be called after every change and every moment while a job runs, with what the workers see.
   */
  step(sights?: readonly JobLaneSight[]): Promise<JobOrder[]>;
  /**
   * Jobs that hold events back from being trimmed: all that have not ended, of the plans those of the last day; other
   * processes' jobs too.
   */
  unended(): Promise<Job[]>;
  /** Another process may have made jobs: they are looked for anew. */
  reread(): void;
  /** Forgets jobs that ended long ago, and plans that can't be started any more; how many. Dead letters that they left stay. */
  forget(): Promise<number>;
}

export function createJobControl(options: JobControlOptions): JobControl {
  return new Control(options);
}

const PREFIX = "jobs/";
const RADIX = 36;

class Control implements JobControl {
  readonly #options: JobControlOptions;
  /** Ids of the jobs that have not ended, as far as this process has made them or read of them. */
  #unended: Promise<Set<string>> | undefined;

  constructor(options: JobControlOptions) {
    this.#options = options;
  }

  async create(spec: JobSpec): Promise<VersionedJob> {
    const { clock, control } = this.#options;
    const id = this.#newId(spec);
    const plan = await this.#plan(id, spec);
    const before = (await this.list(spec.tenantId)).map((one) => one.job);
    const estimateMs = estimateMsOf(spec, { events: plan.events, before });
    const job: Job = { id, spec, state: "planned", ...plan, estimateMs, createdAt: clock.now() };
    // Before it is there: what is stored by a call that failed holds back events as well.
    const ids = await this.#ids();
    ids.add(id);
    return { job, version: await control.put(PREFIX + id, job, 0) };
  }

  plan(spec: JobSpec): Promise<JobPlan> {
    return this.#plan(this.#newId(spec), spec);
  }

  #plan(id: string, spec: JobSpec): Promise<JobPlan> {
    const tenant = this.#options.revision().tenants.find((one) => one.id === spec.tenantId);
    return planJob(this.#options, { id, spec, tenant });
  }

  #newId({ kind }: JobSpec): string {
    const { clock, random } = this.#options;
    const chance = Math.floor(random() * RADIX ** 4).toString(RADIX);
    return `${kind}-${Math.floor(clock.now()).toString(RADIX)}-${chance.padStart(4, "0")}`;
  }

  async get(id: string): Promise<VersionedJob> {
    const found = await this.#find(id);
    if (found === undefined) throw new PulseGateError("not_found", `there is no job ${id}`);
    return found;
  }

  async #find(id: string): Promise<VersionedJob | undefined> {
    const found = await this.#options.control.get(PREFIX + id);
    return found === undefined ? undefined : { job: found.value as Job, version: found.version };
  }

  async list(tenantId?: string): Promise<VersionedJob[]> {
    const all = await this.#options.control.list(PREFIX);
    return all
      .map(({ value, version }) => ({ job: value as Job, version }))
      .filter(({ job }) => tenantId === undefined || job.spec.tenantId === tenantId)
      .sort((a, b) => b.job.createdAt - a.job.createdAt);
  }

  start(id: string, version?: number): Promise<VersionedJob> {
    return this.#change(id, version, async (job) => {
      need(job, "start", ["planned"]);
      if (this.#isStale(job))
        throw new PulseGateError("conflict", `the plan of job ${id} is older than a day: plan anew`);
      const { lanes } = this.#options;
      for (const { lane, from } of job.lanes) await lanes.openLane(lane, from);
      const { canary } = job.spec;
      const first = canary === undefined ? {} : { canary: { state: "running", tried: 0, succeeded: 0 } as const };
      return { ...(await this.#running(job)), startedAt: this.#options.clock.now(), ...first };
    });
  }

  pause(id: string, version?: number): Promise<VersionedJob> {
    return this.#change(id, version, async (job) => {
      need(job, "pause", ["running"]);
      return { ...job, state: "paused", waits: undefined };
    });
  }

  resume(id: string, version?: number): Promise<VersionedJob> {
    return this.#change(id, version, async (job) => {
      need(job, "resume", ["paused"]);
      return this.#running(job);
    });
  }

  cancel(id: string, version?: number): Promise<VersionedJob> {
    return this.#change(id, version, async (job) => {
      need(job, "cancel", ["planned", "running", "paused"]);
      return this.#ended(job, { state: "cancelled" });
    });
  }

  setRate(id: string, rate: JobRate, version?: number): Promise<VersionedJob> {
    if (!isRate(rate)) {
      const detail = "events_per_second is above 0; idle_share is above 0 and up to 1";
      const violations = [{ pointer: "/rate", code: "invalid_format" as const, detail }];
      return Promise.reject(new PulseGateError("malformed_request", "the rate is not valid", { violations }));
    }
    return this.#change(id, version, async (job) => {
      need(job, "change", ["planned", "running", "paused"]);
      return { ...job, spec: { ...job.spec, rate } };
    });
  }

  async progress(job: Job): Promise<JobProgress> {
    return progressOf(job, await this.#states(job), this.#options.clock.now());
  }

  async step(sights: readonly JobLaneSight[] = []): Promise<JobOrder[]> {
    const orders: JobOrder[] = [];
    for (const id of [...(await this.#ids())]) {
      const { job, version } = (await this.#find(id)) ?? {};
      if (job === undefined || version === undefined) continue;
      if (isEnded(job)) (await this.#ids()).delete(id);
      if (job.state !== "running") continue;
      const next = await this.#advance(job, sights);
      if (next !== job && !(await this.#saved(next, version))) continue;
      if (next.state === "running") orders.push(ordersOf(next, await this.#states(next)));
    }
    return orders;
  }

  async unended(): Promise<Job[]> {
    // What holds events back must not be missed, whoever made it.
    this.reread();
    const jobs = await Promise.all([...(await this.#ids())].map(async (id) => (await this.#find(id))?.job));
    return jobs.flatMap((job) => (job === undefined || isEnded(job) || this.#isStale(job) ? [] : job));
  }

  /** A plan that nobody starts must not hold the log's events for ever. */
  #isStale(job: Job): boolean {
    return isStale(job, this.#options.clock.now());
  }

  reread(): void {
    this.#unended = undefined;
  }

  async forget(): Promise<number> {
    const { control, clock } = this.#options;
    const all = await this.list();
    const versions = new Map(all.map(({ job, version }) => [job, version]));
    let forgotten = 0;
    for (const job of expired([...versions.keys()], clock.now())) {
      try {
        await control.remove(PREFIX + job.id, versions.get(job) as number);
        forgotten += 1;
      } catch (error) {
        if (!isErrorCode(error, "version_conflict")) throw error;
      }
    }
    if (forgotten > 0) this.reread();
    return forgotten;
  }

  /** Somebody else may have changed it since: then it is looked at again at the next step. */
  async #saved(job: Job, version: number): Promise<boolean> {
    try {
      await this.#options.control.put(PREFIX + job.id, job, version);
      return true;
    } catch (error) {
      if (isErrorCode(error, "version_conflict")) return false;
      throw error;
    }
  }

  async #advance(job: Job, sights: readonly JobLaneSight[]): Promise<Job> {
    const missing = this.#missing(job);
    if (missing !== undefined) return this.#ended(job, { state: "failed", reason: missing });
    const states = await this.#states(job);
    const isThrough = job.lanes.every(({ to }, i) => (states[i]?.cursor ?? 0) >= to);
    const canary = canaryStep(job, states, isThrough);
    if (canary?.type === "failed") return this.#ended(canary.job, { state: "failed", reason: canary.reason });
    if (isThrough) return this.#ended(canary?.job ?? job, { state: "done" });
    return withWaits(canary?.job ?? job, { states, sights, now: this.#options.clock.now() });
  }

  /** What the job needs and the running configuration does not have. */
  #missing({ spec, lanes }: Job): string | undefined {
    const tenant = this.#options.revision().tenants.find(({ id }) => id === spec.tenantId);
    if (tenant === undefined) return `tenant ${spec.tenantId} is not configured any more`;
    const gone = lanes.find(({ lane }) => !tenant.sinks.some(({ id }) => id === lane.sink));
    return gone === undefined ? undefined : `sink ${gone.lane.sink} is not configured any more`;
  }

  async #running(job: Job): Promise<Job> {
    const now = this.#options.clock.now();
    const { settled, share } = progressOf(job, await this.#states(job), now);
    return { ...job, state: "running", resumed: { at: now, settled, share } };
  }

  async #ended(job: Job, end: { readonly state: JobState; readonly reason?: string }): Promise<Job> {
    const states = await this.#states(job);
    const counts = countsOf(states.flatMap((state) => state ?? []));
    const endedAt = this.#options.clock.now();
    const eventsPerSecond = end.state === "done" ? speedOf(job, counts, endedAt) : undefined;
    return { ...job, ...end, waits: undefined, endedAt, eventsPerSecond, outcome: counts };
  }

  async #states(job: Job): Promise<(LaneState | undefined)[]> {
    return Promise.all(job.lanes.map(({ lane }) => this.#options.lanes.loadLane(lane)));
  }

  /** Of a job that is there. Without a version: the change is made to whatever is the newest. */
  async #change(id: string, version: number | undefined, change: (job: Job) => Promise<Job>): Promise<VersionedJob> {
    for (;;) {
      const found = await this.get(id);
      const job = await change(found.job);
      try {
        return { job, version: await this.#options.control.put(PREFIX + id, job, version ?? found.version) };
      } catch (error) {
        if (version !== undefined || !isErrorCode(error, "version_conflict")) throw error;
      }
    }
  }

  #ids(): Promise<Set<string>> {
    this.#unended ??= this.list().then(
      (all) => new Set(all.filter(({ job }) => !isEnded(job)).map(({ job }) => job.id)),
    );
    const asked = this.#unended;
    // A log that could not be read is asked again.
    asked.catch(() => {
      if (this.#unended === asked) this.#unended = undefined;
    });
    return asked;
  }
}

function need(job: Job, action: string, states: readonly JobState[]): void {
  if (states.includes(job.state)) return;
  const allowed = states.join(" or ");
  throw new PulseGateError("conflict", `job ${job.id} is ${job.state}: to ${action} it, it must be ${allowed}`);
}
