import { encodeParts } from "../../core/canonical/codec.ts";
import type { Logger } from "../../core/environment.ts";
import type { Stream } from "../../core/ingestion/log.ts";
import type { LaneMetrics } from "../../core/ingestion/metrics.ts";
import type { Revision } from "../../core/ingestion/revision.ts";
import { type MemoryLog, openMemoryLog } from "../../drivers/memory/index.ts";
import { createWorker, type LaneWorker } from "../../workers/worker.ts";
import { SimClock, seededRandom } from "../helpers/sim-clock.ts";
import { checkRun, checkSettled, needsCompany } from "./check.ts";
import type { EventPlan, Plan, SinkPlan } from "./plan.ts";
import { watchLog } from "./watched-log.ts";
import { World } from "./world.ts";

/** What lanes whose targets work may take after the load. */
const REST_MS_MAX = 30_000;
/** Between the events that show, once the load is over, that each target is alive. */
const HEARTBEAT_MS = 500;
const SETTLE_MS_MAX = 600_000;
const STOP_MS = 5_000;
const RETRY_MS = 20;
/** A client gives up after so many tries: the outcome is then unknown. */
const TRIES_MAX = 4;

/** What came of a run, for the checks. */
export interface Run {
  readonly plan: Plan;
  readonly world: World;
  readonly log: MemoryLog;
  /** Event id → when its ack came. */
  readonly acked: ReadonlyMap<string, number>;
}

/** Runs one plan to its end. Throws what went wrong first. */
export async function simulate(plan: Plan): Promise<void> {
  const simulation = new Simulation(plan);
  await simulation.load();
  await simulation.settle();
  await simulation.stop();
  await checkRun(simulation.result());
}

class Simulation {
  readonly #plan: Plan;
  readonly #clock = new SimClock();
  readonly #world: World;
  readonly #acked = new Map<string, number>();
  readonly #faults: Error[] = [];
  readonly #ended: Promise<void>[] = [];
  #log: MemoryLog;
  #worker: LaneWorker | undefined;
  #life = 0;
  #clients = 0;
  /** Workers on their way up; one whose process died there can't be stopped, and asks its dead log for ever. */
  #starting = 0;
  #heartbeats = 0;

  constructor(plan: Plan) {
    this.#plan = plan;
    const clock = this.#clock;
    this.#world = new World({ tenants: plan.tenants, clock, random: seededRandom(plan.seed + 1_000_003) });
    this.#log = openMemoryLog({ clock, random: seededRandom(plan.seed + 2_000_003), faults: plan.logFaults });
    void this.#startWorker();
  }

  /** Sends the planned events and crashes the planned number of times. */
  async load(): Promise<void> {
    for (const event of this.#plan.events) this.#at(event.at, () => void this.#send(event));
    for (const at of this.#plan.crashesAt) this.#at(at, () => this.#crash());
    await this.#pass(this.#plan.endsAt);
    this.#log.setFaults(false);
  }

  #at(ms: number, action: () => void): void {
    void this.#clock.sleep(ms - this.#clock.monotonic()).then(action);
  }

  async #pass(ms: number): Promise<void> {
    await this.#clock.advance(ms);
    const [fault] = this.#faults;
    if (fault !== undefined) throw fault;
  }

  async #send({ id, tenantId, partition, key }: EventPlan): Promise<void> {
    const stream = { tenantId, partition };
    this.#clients++;
    for (let tries = 0; tries < TRIES_MAX && !this.#acked.has(id); tries++) {
      const bytes = encodeParts({
        eventId: id,
        tenantId,
        eventType: "sim",
        source: "http",
        payload: Buffer.from(JSON.stringify({ k: key })),
      });
      try {
        await this.#log.append([{ stream, eventId: id, bytes }]);
        this.#acked.set(id, this.#clock.monotonic());
      } catch {
        await this.#clock.sleep(RETRY_MS);
      }
    }
    this.#clients--;
  }

  #crash(): void {
    this.#life++;
    // The dead process's promises are still here; they find a log that answers nothing any more.
    if (this.#worker !== undefined) this.#ended.push(this.#worker.stop(0));
    this.#worker = undefined;
    this.#log = this.#log.restart();
    void this.#startWorker();
  }

  async #startWorker(): Promise<void> {
    const life = this.#life;
    const { seed } = this.#plan;
    while (life === this.#life) {
      try {
        this.#starting++;
        const worker = await createWorker({
          log: watchLog(this.#log, (settled) => this.#watch(() => checkSettled(this.result(), settled))),
          workerId: `worker_${life}`,
          revision: revisionOf(this.#plan),
          findPlugin: (name) => this.#world.findPlugin(name),
          clock: this.#clock,
          random: seededRandom(seed + 3_000_003 + life),
          logger: SILENT,
          metrics: NO_METRICS,
        }).finally(() => this.#starting--);
        if (life === this.#life) this.#worker = worker;
        else this.#ended.push(worker.stop(0));
        return;
      } catch {
        await this.#clock.sleep(RETRY_MS);
      }
    }
  }

  #watch(check: () => void): void {
    try {
      check();
    } catch (error) {
      this.#faults.push(error as Error);
    }
  }

  /** Lets the lanes come to their ends. Events keep coming, for a target that is never asked can't be known to be back. */
  async settle(): Promise<void> {
    const until = this.#clock.monotonic() + SETTLE_MS_MAX;
    const streams = this.#streams();
    const ends = new Map<Stream, number>();
    for (; this.#clients > 0; await this.#pass(RETRY_MS));
    for (const stream of streams) ends.set(stream, (await this.#log.bounds(stream)).end);
    await this.#settleQuietly(ends);
    while (!(await this.#isSettled(ends))) {
      if (this.#clock.monotonic() > until)
        throw new Error(`not settled after ${SETTLE_MS_MAX} ms: ${await this.#lanesText()}`);
      for (const stream of streams)
        void this.#send({ ...stream, id: `heartbeat-${this.#heartbeats++}`, at: 0, key: undefined });
      await this.#pass(HEARTBEAT_MS);
    }
  }

  /** Without anything new to wake them, lanes must still come to their ends. */
  async #settleQuietly(ends: ReadonlyMap<Stream, number>): Promise<void> {
    const until = this.#clock.monotonic() + REST_MS_MAX;
    while (!(await this.#isSettled(ends, (sink) => !needsCompany(sink)))) {
      if (this.#clock.monotonic() > until)
        throw new Error(`not at rest after ${REST_MS_MAX} ms: ${await this.#lanesText()}`);
      await this.#pass(HEARTBEAT_MS);
    }
  }

  #streams(): Stream[] {
    return this.#plan.tenants.flatMap(({ id: tenantId, partitions }) =>
      Array.from({ length: partitions }, (_, partition) => ({ tenantId, partition })),
    );
  }

  async #isSettled(
    ends: ReadonlyMap<Stream, number>,
    counts: (sink: SinkPlan) => boolean = () => true,
  ): Promise<boolean> {
    for (const [stream, end] of ends) {
      const tenant = this.#plan.tenants.find(({ id }) => id === stream.tenantId);
      for (const plan of tenant?.sinks ?? []) {
        if (!counts(plan)) continue;
        const sink = plan.id;
        const state = await this.#log.loadLane({ stream, sink });
        if (state === undefined || state.cursor < end) return false;
      }
    }
    return true;
  }

  async #lanesText(): Promise<string> {
    return JSON.stringify(await this.#worker?.status());
  }

  /** A worker that stops lets go of the clock: nothing of it is left to happen. */
  async stop(): Promise<void> {
    if (this.#worker === undefined) throw new Error("no worker runs at the end");
    const stopped = Promise.all([...this.#ended, this.#worker.stop(STOP_MS)]);
    let done = false;
    void stopped.then(() => (done = true));
    await this.#clock.runUntil(() => done, STOP_MS + 1_000);
    const left = this.#clock.sleeping - this.#starting;
    if (left > 0) throw new Error(`${left} timers are left after the worker has stopped`);
  }

  result(): Run {
    return { plan: this.#plan, world: this.#world, log: this.#log, acked: this.#acked };
  }
}

function revisionOf(plan: Plan): Revision {
  return {
    number: 1,
    limits: {
      eventBytesMax: 1 << 20,
      batchBytesMax: 1 << 20,
      batchEventsMax: 1_000,
      headerTimeoutMs: 1_000,
      bodyTimeoutMs: 1_000,
      keepAliveTimeoutMs: 1_000,
      connectionsMax: 10,
      connectionsPerAddressMax: 10_000,
      bodyBytesPerSecondMin: 0,
    },
    tenants: plan.tenants.map(({ id, partitions, sinks, transform }) => ({
      id,
      keys: [],
      partitions,
      weight: 1,
      transforms: transform.size > 0 ? [{ name: `transform ${id}`, config: {} }] : [],
      sinks: sinks.map(({ id: sink, retry, batch, windowEvents, ordering }) => {
        return { id: sink, name: `sink ${id}/${sink}`, config: {}, retry, batch, windowEvents, ordering };
      }),
    })),
  };
}

const nothing = () => undefined;
const SILENT: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };
const NO_METRICS: LaneMetrics = {
  delivery: nothing,
  settled: nothing,
  replayed: nothing,
  error: nothing,
  deadLetter: nothing,
  processing: nothing,
  lane: nothing,
};
