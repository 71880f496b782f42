import { createJobControl, type JobControl } from "../../core/ingestion/job-control.ts";
import type { Job, JobSpec } from "../../core/ingestion/jobs.ts";
import type { TenantConfig } from "../../core/ingestion/revision.ts";
import { type BenchOptions, revision, WorkerBench } from "./worker-bench.ts";
import { seededRandom } from "./sim-clock.ts";

/** A worker on the in-memory log with the jobs' control beside it. */
export class JobBench {
  readonly bench: WorkerBench;
  control: JobControl;
  #tenants: readonly TenantConfig[];

  private constructor(bench: WorkerBench, tenants: readonly TenantConfig[]) {
    this.bench = bench;
    this.#tenants = tenants;
    this.control = this.#newControl();
  }

  static async start(options: BenchOptions): Promise<JobBench> {
    return new JobBench(await WorkerBench.start(options), options.tenants);
  }

  get log(): WorkerBench["log"] {
    return this.bench.log;
  }

  /** Another configuration, for the worker and the jobs. */
  async apply(tenants: readonly TenantConfig[], number: number): Promise<void> {
    this.#tenants = tenants;
    await this.bench.finish(this.bench.worker.apply(revision(number, tenants)));
  }

  async create(spec: Omit<JobSpec, "tenantId" | "rate"> & Partial<JobSpec>): Promise<Job> {
    const whole = { tenantId: "a", rate: { idleShare: 1 }, ...spec };
    return (await this.bench.finish(this.control.create(whole))).job;
  }

  /** Plans, starts and runs a job to its end. */
  async run(spec: Parameters<JobBench["create"]>[0]): Promise<Job> {
    const { id } = await this.create(spec);
    await this.bench.finish(this.control.start(id));
    return this.until(id, ({ endedAt }) => endedAt !== undefined);
  }

  /** One step of the control, taken over by the worker. */
  async step(): Promise<void> {
    const orders = await this.bench.finish(this.control.step(this.bench.worker.sights()));
    await this.bench.finish(this.bench.worker.run(orders));
  }

  /** Lets time pass until the job is so. */
  async until(id: string, isSo: (job: Job) => boolean, limitMs = 60_000): Promise<Job> {
    const until = this.bench.clock.monotonic() + limitMs;
    for (;;) {
      await this.step();
      const { job } = await this.bench.finish(this.control.get(id));
      if (isSo(job)) return job;
      if (this.bench.clock.monotonic() > until)
        throw new Error(`job ${id} is ${JSON.stringify(job)} after ${limitMs} ms`);
      await this.bench.clock.advance(50);
    }
  }

  /** The process dies and another takes its place. */
  async restart(): Promise<void> {
    await this.bench.stop(0);
    this.control = this.#newControl();
    await this.bench.startWorker(this.#tenants);
  }

  #newControl(): JobControl {
    const { log, clock } = this.bench;
    return createJobControl({
      reader: log,
      lanes: log,
      control: log.control,
      clock,
      random: seededRandom(3),
      revision: () => ({ tenants: this.#tenants }),
    });
  }
}
