import { setTimeout as sleep } from "node:timers/promises";
import type { LaneState, LaneId } from "../../core/ingestion/log.ts";
import { formatPosition, laneKey } from "../../core/ingestion/log.ts";
import type { RedisLog, RedisLogOptions } from "../../drivers/redis/index.ts";
import { systemClock } from "../../observability/system-clock.ts";
import { createWorker } from "../../workers/worker.ts";
import { FakeSink } from "./fake-sink.ts";
import { checkHistory, History, type Violation } from "./history.ts";
import { openTestLog } from "./redis-log.ts";
import { seededRandom } from "./sim-clock.ts";
import { until } from "./until.ts";
import { entry, noMetrics, revision, silentLogger, sinkUse, tenant } from "./worker-bench.ts";

export interface RedisLoadOptions {
  readonly url: string;
  readonly log: Partial<RedisLogOptions>;
  /** How long the target takes for a batch: what was read before a failover is settled after it. */
  readonly sinkMs: number;
}

export interface RedisLoad {
  readonly acked: ReadonlySet<string>;
  /** How often an append had no answer or a refusal. */
  readonly refused: number;
  /** Resolves when so many more events are acknowledged, of every tenant at least one. */
  more(count: number): Promise<void>;
  /** Ends the load, waits until all is delivered and gives what is wrong with it. */
  finish(): Promise<Violation[]>;
}

const CLIENTS = 8;
const TENANTS = Array.from({ length: CLIENTS }, (_, i) => `tenant_${i}`);
/** As a client waits that got 503. */
const REPEAT_MS = 20;

/**
 * Clients append events of eight tenants, each repeated until it is acknowledged, over one log; a worker with
 * another log delivers them to a keyed target.
 */
export async function startRedisLoad({ url, log: options, sinkMs }: RedisLoadOptions): Promise<RedisLoad> {
  const shared = { clock: systemClock, leaseMs: 3_000, ...options };
  const log = await openTestLog(url, shared);
  const workerLog = await openTestLog(url, shared);
  const sink = new FakeSink();
  sink.behave = async (events) => {
    await sleep(sinkMs);
    return events.map(() => ({ type: "ok" }));
  };
  const worker = await createWorker({
    log: workerLog,
    workerId: "w",
    revision: revision(
      1,
      TENANTS.map((id) => tenant(id, [sinkUse("fake")])),
    ),
    findPlugin: () => sink.definition("fake"),
    clock: systemClock,
    random: seededRandom(1),
    logger: silentLogger,
    metrics: noMetrics,
  });
  const clients = new Clients(log);
  return {
    acked: clients.acked,
    get refused() {
      return clients.refused;
    },
    async more(count) {
      const before = new Map(clients.byTenant);
      const total = clients.acked.size + count;
      const all = () => TENANTS.every((id) => (clients.byTenant.get(id) ?? 0) > (before.get(id) ?? 0));
      const said = () =>
        `${count} more events; last refused: ${JSON.stringify(Object.fromEntries(clients.lastRefusals))}`;
      await patiently(() => (clients.acked.size >= total && all() ? true : undefined), said);
    },
    async finish() {
      await clients.stop();
      const ledger = await patiently(() => settled(log).catch(() => undefined), "everything is delivered");
      const rows = [...sink.taken.keys()].map((eventId) => ({ eventId, content: eventId }));
      await worker.stop(5_000);
      return checkHistory(clients.history, { rows, deadLetters: [], ledger });
    },
  };
}

class Clients {
  readonly acked = new Set<string>();
  readonly byTenant = new Map<string, number>();
  /** Why each tenant's latest refused append was. */
  readonly lastRefusals = new Map<string, string>();
  readonly history = new History();
  refused = 0;
  private readonly stopped = new AbortController();
  private readonly log: RedisLog;
  private readonly running: Promise<unknown>;

  constructor(log: RedisLog) {
    this.log = log;
    this.running = Promise.all(TENANTS.map((tenantId) => this.run(tenantId)));
  }

  private async run(tenantId: string): Promise<void> {
    for (let nth = 0; !this.stopped.signal.aborted; nth++) {
      const eventId = `${tenantId}-${nth}`;
      // Also when the load has ended: an event whose outcome is unknown is asked for until it is known.
      while (!(await this.send(tenantId, eventId))) await sleep(REPEAT_MS);
      this.byTenant.set(tenantId, (this.byTenant.get(tenantId) ?? 0) + 1);
    }
  }

  private async send(tenantId: string, eventId: string): Promise<boolean> {
    const request = { eventId, content: eventId };
    const event = entry(tenantId, eventId, { payload: JSON.stringify({ id: eventId }) });
    const [appended] = await this.log.append([event]).catch((error: unknown) => {
      this.lastRefusals.set(tenantId, String(error));
      return [];
    });
    if (appended === undefined || appended.type === "conflict") {
      this.refused++;
      this.history.record(request, { type: "unknown" });
      return false;
    }
    const stream = appended.type === "duplicate" ? appended.stream : event.stream;
    this.history.record(request, { type: "acked", position: formatPosition(stream, appended.sequence) });
    this.acked.add(eventId);
    this.lastRefusals.delete(tenantId);
    return true;
  }

  async stop(): Promise<void> {
    this.stopped.abort();
    await this.running;
  }
}

/** The ledger, once every lane is at the end of its stream. */
async function settled(log: RedisLog) {
  const lanes = await log.lanes();
  const lines = await Promise.all(lanes.map((row) => lineOf(log, row)));
  if (lines.length < TENANTS.length || lines.some(({ cursor, end }) => cursor !== end)) return undefined;
  return lines;
}

async function lineOf(log: RedisLog, { lane, state }: { readonly lane: LaneId; readonly state: LaneState }) {
  const { start, cursor, delivered, dead, erased } = state;
  const filtered = Object.values(state.filtered).reduce((sum, events) => sum + events, 0);
  const { end } = await log.bounds(lane.stream);
  return { lane: laneKey(lane), start, cursor, end, delivered, dead, erased, filtered };
}

/** A failover on a busy machine takes its time. */
async function patiently<T>(
  ask: () => Promise<T | undefined> | T | undefined,
  what: string | (() => string),
): Promise<T> {
  const slowly = async () => {
    const answer = await ask();
    if (answer === undefined) await sleep(REPEAT_MS);
    return answer;
  };
  return until(slowly, "")
    .catch(() => until(slowly, ""))
    .catch(() => {
      throw new Error(`not in time: ${typeof what === "string" ? what : what()}`);
    });
}
