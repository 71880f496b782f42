import { createJobControl, type JobControl } from "../../core/ingestion/job-control.ts";
import type { JobOrder, JobSpec } from "../../core/ingestion/jobs.ts";
import type { Random } from "../../core/environment.ts";
import type { LaneStore, LogReader } from "../../core/ingestion/log.ts";
import type { TenantConfig } from "../../core/ingestion/revision.ts";
import { trimOnce } from "../../core/ingestion/retention.ts";
import { type MemoryFaults, type MemoryLog, openMemoryLog } from "../../drivers/memory/index.ts";
import { createWorker, type LaneWorker } from "../../workers/worker.ts";
import { SimClock, seededRandom } from "../helpers/sim-clock.ts";
import { entry, noMetrics, revision, silentLogger, sinkUse, tenant } from "../helpers/worker-bench.ts";
import { JobWorld } from "./jobs-world.ts";
import { watchDeliveries } from "./jobs-watch.ts";
import { checkJobs, type JobRun } from "./jobs-check.ts";

const TENANT = "sim";
const RETENTION_MS = 2_500;
const OPERATIONS = 30;
/** Sooner than the product looks, so that jobs change more often in the same time. */
const STEP_MS = 100;
const REST_MS_MAX = 600_000;

const FAULTS: MemoryFaults = {
  delayMsMax: 5,
  failure: 0.04,
  unknown: 0.04,
  readFailure: 0.02,
  deadLetterFailure: 0.1,
  lostClaim: 0.01,
  lostClaimMsMax: 300,
  keepInFlight: 0.5,
};

/**
 * One run by its seed: events come, a sink falls ill and recovers, operators make, start, pause, resume, hurry
 * and cancel jobs, discard letters and trim the log, the process dies, the log fails. Throws what went wrong first.
 */
export async function simulateJobs(seed: number): Promise<void> {
  const simulation = new JobSimulation(seed);
  await simulation.load();
  await simulation.rest();
  await simulation.stop();
  await checkJobs(simulation.result());
}

class JobSimulation {
  readonly #random: Random;
  readonly #clock = new SimClock();
  readonly #world: JobWorld;
  #tenant: TenantConfig;
  readonly #faults: Error[] = [];
  readonly #ended: Promise<void>[] = [];
  #log: MemoryLog;
  #control: JobControl;
  #worker: LaneWorker | undefined;
  #life = 0;
  #events = 0;
  #operations = 0;
  #starting = 0;

  constructor(seed: number) {
    const random = seededRandom(seed * 6_007 + 5);
    this.#random = random;
    const sinks = random() < 0.7 ? ["a"] : ["a", "b"];
    const batch = { eventsMax: pick(random, [1, 5, 50]), bytesMax: 1 << 20, lingerMs: pick(random, [0, 30]) };
    const retry = { attempts: 4, backoffMinMs: 20, backoffMaxMs: 500, timeoutMs: 1_000 };
    this.#tenant = tenant(
      TENANT,
      sinks.map((id) => sinkUse(id, { retry, batch, windowEvents: pick(random, [6, 60]) })),
      { partitions: 1 + Math.floor(random() * 2), transforms: [{ name: "drops", config: {} }] },
    );
    this.#world = new JobWorld({ sinks: ["a", "b"], clock: this.#clock, random });
    const faults = random() < 0.6 ? FAULTS : { delayMsMax: 3 };
    this.#log = openMemoryLog({ clock: this.#clock, random: seededRandom(seed + 2_000_003), faults });
    this.#control = this.#newControl();
    void this.#startWorker();
    void this.#stepJobs(this.#life);
  }

  async load(): Promise<void> {
    if (this.#random() < 0.5) this.#world.fallIll();
    void this.#append(20);
    for (let i = 0; i < OPERATIONS; i++) {
      await this.#pass(Math.floor(this.#random() * 300));
      this.#operate();
    }
    await this.#pass(500);
    this.#log.setFaults(false);
    this.#world.recover();
  }

  /** All jobs come to their ends, and all lanes. Events keep coming: that is how a target is known to be back. */
  async rest(): Promise<void> {
    const until = this.#clock.monotonic() + REST_MS_MAX;
    for (;;) {
      const open = await this.#settleJobs();
      if (open === 0 && this.#operations === 0 && (await this.#isSettled())) return;
      if (this.#clock.monotonic() > until) throw new Error(`${open} jobs have not ended: ${await this.#text()}`);
      await this.#pass(500);
    }
  }

  async #settleJobs(): Promise<number> {
    const listing = this.#control.list();
    await this.#pass(20);
    const open = (await listing).filter(({ job }) => job.endedAt === undefined);
    for (const { job } of open) {
      if (job.state === "paused") void this.#try(() => this.#control.resume(job.id));
      if (job.state === "planned") void this.#try(() => this.#control.start(job.id));
      if (job.state === "running") void this.#try(() => this.#control.setRate(job.id, { idleShare: 1 }));
    }
    return open.length;
  }

  async #isSettled(): Promise<boolean> {
    const lanes = this.#log.lanes();
    await this.#pass(20);
    for (const { lane, state } of await lanes) {
      const bounds = this.#log.bounds(lane.stream);
      await this.#pass(20);
      if (state.cursor < (await bounds).end) return false;
    }
    return true;
  }

  async #text(): Promise<string> {
    const all = this.#control.list();
    await this.#pass(20);
    return JSON.stringify((await all).map(({ job }) => job));
  }

  async #pass(ms: number): Promise<void> {
    await this.#clock.advance(ms);
    const [fault] = this.#faults;
    if (fault !== undefined) throw fault;
  }

  #operate(): void {
    const dice = this.#random();
    if (dice < 0.3) return void this.#append(1 + Math.floor(this.#random() * 15));
    if (dice < 0.36) return this.#world.fallIll();
    if (dice < 0.44) return this.#world.recover();
    if (dice < 0.64) return void this.#try(() => this.#control.create(this.#spec()));
    if (dice < 0.84) return void this.#changeJob();
    if (dice < 0.88) return void this.#discard();
    if (dice < 0.92) return void this.#trim();
    if (dice < 0.935) return void this.#dropOldest();
    if (dice < 0.95) return void this.#erase();
    if (dice < 0.97) return this.#crash();
    if (dice < 0.985) return this.#world.fail(Math.floor(this.#random() * 800));
    void this.#addSink();
  }

  /** A second sink, whose lane begins where the stream ends: what is before is a backfill's. */
  async #addSink(): Promise<void> {
    const [first, second] = this.#tenant.sinks;
    if (first === undefined || second !== undefined) return;
    this.#tenant = { ...this.#tenant, sinks: [first, { ...first, id: "b", name: "b" }] };
    await this.#worker?.apply(revision(2, [this.#tenant]));
  }

  #append(count: number): Promise<void> {
    const entries = Array.from({ length: count }, () => {
      const n = this.#events++;
      const partition = n % this.#tenant.partitions;
      return () => entry(TENANT, `e${n}`, { partition, payload: `{"n":${n}}` });
    });
    return this.#try(() => this.#log.append(entries.map((make) => make())));
  }

  #spec(): JobSpec {
    const random = this.#random;
    const kind = pick(random, ["replay", "replay", "redrive", "redrive", "backfill"] as const);
    const sinks = kind === "backfill" || random() < 0.5 ? [this.#tenant.sinks.at(-1)?.id ?? ""] : undefined;
    const filter = random() < 0.4 ? `event.payload.n % ${1 + Math.floor(random() * 4)} == 0` : undefined;
    const receivedFrom = random() < 0.3 ? this.#clock.now() - Math.floor(random() * 6_000) : undefined;
    const rate =
      random() < 0.5 ? { eventsPerSecond: 1 + Math.floor(random() * 60) } : { idleShare: pick(random, [0.1, 1]) };
    const canary =
      kind === "redrive" && random() < 0.5 ? { events: 1 + Math.floor(random() * 5), share: 0.5 } : undefined;
    return { kind, tenantId: TENANT, selection: { filter, receivedFrom }, sinks, rate, canary };
  }

  async #changeJob(): Promise<void> {
    const control = this.#control;
    await this.#try(async () => {
      const jobs = await control.list();
      const { id } = pick(this.#random, jobs).job;
      const change = pick(this.#random, ["start", "start", "start", "pause", "resume", "cancel", "rate"] as const);
      if (change === "rate") return control.setRate(id, { eventsPerSecond: 200 });
      return control[change](id);
    });
  }

  #discard(): Promise<void> {
    return this.#try(async () => {
      const letters = await this.#log.deadLetters({ limit: 3 });
      return this.#log.discard(letters, { at: this.#clock.now(), reason: "discarded" });
    });
  }

  /** As near the bound of a disk: what nobody has come to goes, too. */
  #dropOldest(): Promise<void> {
    const [log, control, clock] = [this.#log, this.#control, this.#clock];
    const bytesMax = Math.floor(this.#random() * 8_000);
    return this.#try(() =>
      trimOnce({
        ...{ log, jobs: () => control.unended(), now: clock.now(), stored: () => {}, dropped: () => {} },
        rule: () => ({ ageMs: RETENTION_MS, bytesMax, whenFull: "drop_oldest" }),
      }),
    );
  }

  #erase(): Promise<void> {
    const [log, random] = [this.#log, this.#random];
    const stream = { tenantId: TENANT, partition: Math.floor(random() * this.#tenant.partitions) };
    return this.#try(async () => {
      const { first, end } = await log.bounds(stream);
      const sequences = Array.from({ length: 5 }, () => first + Math.floor(random() * (end - first)));
      await log.erase(stream, sequences, this.#clock.now());
      await this.#worker?.reread(TENANT);
    });
  }

  /** Jobs that ran before it began must not lose what they have not come to. */
  #trim(): Promise<void> {
    const [log, control, clock] = [this.#log, this.#control, this.#clock];
    return this.#try(async () => {
      const held = (await control.unended()).filter(({ state }) => state !== "planned");
      await trimOnce({
        ...{ log, jobs: () => control.unended(), now: clock.now(), stored: () => {}, dropped: () => {} },
        rule: () => ({ ageMs: RETENTION_MS, whenFull: "refuse" }),
      });
      for (const { id, lanes } of held) {
        for (const { lane, of, from, to } of lanes) {
          if (of !== undefined) continue;
          const { first } = await log.bounds(lane.stream);
          const cursor = (await log.loadLane(lane))?.cursor ?? from;
          const { job } = await control.get(id);
          if (cursor < Math.min(first, to) && job.endedAt === undefined)
            this.#faults.push(new Error(`the log was trimmed to ${first}: job ${id} is at ${cursor}`));
        }
      }
    });
  }

  /** What an operator does may fail, or be refused by the state of things. */
  async #try(action: () => Promise<unknown>): Promise<void> {
    this.#operations++;
    await action().catch(() => undefined);
    this.#operations--;
  }

  #crash(): void {
    this.#life++;
    if (this.#worker !== undefined) this.#ended.push(this.#worker.stop(0));
    this.#worker = undefined;
    this.#log = this.#log.restart();
    this.#control = this.#newControl();
    void this.#startWorker();
    void this.#stepJobs(this.#life);
  }

  #newControl(): JobControl {
    const log = this.#log;
    return createJobControl({
      reader: log,
      lanes: log,
      control: log.control,
      clock: this.#clock,
      random: this.#random,
      revision: () => ({ tenants: [this.#tenant] }),
    });
  }

  async #stepJobs(life: number): Promise<void> {
    const control = this.#control;
    for (let told = ""; life === this.#life; ) {
      try {
        const orders: readonly JobOrder[] = await control.step(this.#worker?.sights());
        const text = JSON.stringify(orders);
        if (text !== told && this.#worker !== undefined && life === this.#life) {
          await this.#worker.run(orders);
          told = text;
        }
      } catch {
        // The log failed; the next step asks it again.
      }
      await this.#clock.sleep(STEP_MS);
    }
  }

  async #startWorker(): Promise<void> {
    const life = this.#life;
    while (life === this.#life) {
      try {
        this.#starting++;
        const worker = await createWorker({
          log: this.#watched(),
          workerId: `worker_${life}`,
          revision: revision(1, [this.#tenant]),
          findPlugin: (name) => this.#world.findPlugin(name),
          clock: this.#clock,
          random: seededRandom(3_000_003 + life),
          logger: silentLogger,
          metrics: noMetrics,
        }).finally(() => this.#starting--);
        if (life === this.#life) this.#worker = worker;
        else this.#ended.push(worker.stop(0));
        return;
      } catch {
        await this.#clock.sleep(20);
      }
    }
  }

  #watched(): LogReader & LaneStore {
    return watchDeliveries(this.#log, {
      wasDelivered: (sink, eventId, by) => this.#world.wasDelivered(sink, eventId, by),
      onFault: (error) => this.#faults.push(error),
    });
  }

  async stop(): Promise<void> {
    this.#life++;
    if (this.#worker === undefined) throw new Error("no worker runs at the end");
    const stopped = Promise.all([...this.#ended, this.#worker.stop(2_000)]);
    let done = false;
    void stopped.then(() => (done = true));
    await this.#clock.runUntil(() => done, 10_000);
  }

  result(): JobRun {
    return { log: this.#log, control: this.#control, world: this.#world, clock: this.#clock };
  }
}

function pick<T>(random: Random, choices: readonly T[]): T {
  return choices[Math.floor(random() * choices.length)] as T;
}
