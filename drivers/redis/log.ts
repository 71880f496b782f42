import { randomBytes } from "node:crypto";
import { PulseGateError } from "../../core/canonical/errors.ts";
import {
  type Amendment,
  type AppendEntry,
  type Appended,
  type Claims,
  type ControlStore,
  type DeadLetter,
  type DeadLetterGroup,
  type DeadLetterQuery,
  type DeadLetterRange,
  type DiskUse,
  type Erased,
  type LaneCommit,
  type LaneId,
  type LaneState,
  type LetterId,
  type LogEntry,
  type Position,
  type ReadLimits,
  type Recount,
  type Settlement,
  type Stream,
  type StreamBounds,
} from "../../core/ingestion/log.ts";
import { Appender } from "./appender.ts";
import { Leases } from "./claims.ts";
import { Client } from "./client.ts";
import { RedisControl } from "./control.ts";
import { DurableWriter } from "./durable.ts";
import { eraseEvents } from "./eraser.ts";
import { Guard } from "./guard.ts";
import { openIdentity } from "./identity.ts";
import { Keys } from "./keys.ts";
import { Lanes } from "./lane-store.ts";
import { Letters } from "./letters.ts";
import { Notices } from "./notices.ts";
import type { RedisLog, RedisLogHandle, RedisLogOptions, RedisLogTools } from "./options.ts";
import { type AcceptedLoss, acceptLoss } from "./repair.ts";
import { StreamReader } from "./reader.ts";
import { Trimmer } from "./trimmer.ts";

const WINDOW_MS = 24 * 3_600_000;
const LEASE_MS = 10_000;
const PENDING_ENTRIES_MAX = 100_000;
const PENDING_BYTES_MAX = 64 << 20;

/** Opens the log that Redis holds under the prefix, a new one where there is none. */
export async function openRedisLog(options: RedisLogOptions): Promise<RedisLog> {
  const log = new OpenRedisLog(options, await connectParts(options));
  await log.start();
  return log;
}

/** Opens it in a worker thread, with connections of its own. */
export function attachRedisLog(handle: RedisLogHandle, tools: RedisLogTools): Promise<RedisLog> {
  return openRedisLog({ ...handle.options, ...tools });
}

/** What a log is made of that has to be asked for first. */
interface Connected {
  readonly client: Client;
  /** For what waits for replicas; another connection where it does, because a wait holds up what comes behind it. */
  readonly durable: Client;
  readonly keys: Keys;
  readonly id: string;
}

async function connectParts({ connection, replicas = 0, prefix = "pg" }: RedisLogOptions): Promise<Connected> {
  const client = await Client.open(connection);
  const keys = new Keys(prefix);
  try {
    const id = await openIdentity({ client, keys, random: () => randomBytes(12).toString("hex") });
    return { client, keys, id, durable: replicas > 0 ? await Client.open(connection) : client };
  } catch (error) {
    client.close();
    throw error;
  }
}

class OpenRedisLog implements RedisLog {
  readonly failed = new Promise<Error>(() => {});
  readonly control: ControlStore;
  readonly durability: "relaxed" | undefined;
  private readonly guard: Guard;
  private readonly options: RedisLogOptions;
  private readonly parts: Connected;
  private readonly appender: Appender;
  private readonly reader: StreamReader;
  private readonly lanesOf: Lanes;
  private readonly letters: Letters;
  private readonly leases: Leases;
  private readonly notices: Notices;
  private readonly trimmer: Trimmer;
  private readonly writer: DurableWriter;
  private closed: Promise<void> | undefined;

  constructor(options: RedisLogOptions, parts: Connected) {
    this.options = options;
    this.parts = parts;
    const { client, durable, keys, id } = parts;
    const { clock, logger, metrics, instance, connection, replicas = 0 } = options;
    const logId = (): string => id;
    const durability = options.durability ?? "strict";
    this.durability = durability === "relaxed" ? durability : undefined;
    this.guard = new Guard({ client, keys, logId: id, durability, replicas, clock, logger, metrics });
    for (const one of [client, durable]) one.onLost = (what) => this.guard.noteLost(what);
    client.onHistory = () => this.leases.claimAnew();
    const waits = () => ({ synced: this.guard.waits, replicas });
    const writer = new DurableWriter(durable, waits, () => this.guard.look());
    this.writer = writer;
    const onLost = (what: string): never => {
      this.guard.noteLost(what);
      throw new PulseGateError("log_unavailable", `Redis lost what it held: ${what}.`);
    };
    const windowMs = options.windowMs ?? WINDOW_MS;
    this.control = new RedisControl(client, writer, keys);
    this.reader = new StreamReader({ client, keys, logId, onLost });
    this.lanesOf = new Lanes({
      ...{ client, writer, keys, logId },
      historyOf: (claim, shard) => this.leases.historyOf(claim, shard),
    });
    this.letters = new Letters(client, keys, this.lanesOf);
    this.leases = new Leases({
      ...{ client, keys, logId, instance, clock, logger },
      leaseMs: options.leaseMs ?? LEASE_MS,
      followsHistory: replicas > 0,
      onHistory: () => this.notices.forget(),
    });
    this.notices = new Notices({
      ...{ connection, client, keys },
      knownStreams: () => this.knownStreams(),
      knownEnds: () => this.reader.knownEnds(),
      onClaimsChanged: (by) => this.leases.changed(by),
    });
    this.appender = new Appender({
      ...{ writer, keys, logId, clock, metrics, windowMs },
      translated: (error) => durable.translated(error),
      byShard: client.isCluster,
      compression: options.compression ?? "none",
      pendingEntriesMax: options.pendingEntriesMax ?? PENDING_ENTRIES_MAX,
      pendingBytesMax: options.pendingBytesMax ?? PENDING_BYTES_MAX,
      onGrown: (stream, end) => this.notices.grown(stream, end),
    });
    const { reader } = this;
    this.trimmer = new Trimmer({
      ...{ client, keys, logId, clock, windowMs, reader },
      lanesOf: (stream) => this.lanesOf.ofStream(stream),
    });
  }

  /** Closes what it has opened when it can't be used. */
  async start(): Promise<void> {
    try {
      await this.guard.start();
      await this.notices.start();
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async append(entries: readonly AppendEntry[]): Promise<Appended[]> {
    const refusal = this.guard.refusal();
    if (refusal !== undefined) throw refusal;
    return this.appender.append(entries);
  }

  async probe(): Promise<void> {
    this.checkOpen();
    const refusal = this.guard.refusal() ?? this.guard.loss();
    if (refusal !== undefined) throw refusal;
    const { client, keys } = this.parts;
    await client.call("SET", keys.shared("probe"), this.options.clock.now());
  }

  read(stream: Stream, from: number, limits: ReadLimits): Promise<LogEntry[]> {
    return this.reader.read(stream, from, limits);
  }

  arrivals(slots: ReadonlySet<number>, signal: AbortSignal): AsyncIterable<readonly Stream[]> {
    return this.notices.hub.subscribe(slots, signal);
  }

  seek(stream: Stream, receivedAt: number): Promise<number> {
    return this.reader.seek(stream, receivedAt);
  }

  bounds(stream: Stream): Promise<StreamBounds> {
    return this.reader.bounds(stream);
  }

  find(tenantId: string, eventId: string): Promise<(Position & { readonly receivedAt: number }) | undefined> {
    return this.reader.find(tenantId, eventId);
  }

  claims(workerId: string): Promise<Claims> {
    return this.leases.claims(workerId);
  }

  openLane(lane: LaneId, start: "tail" | "start" | number): Promise<LaneState> {
    return this.lanesOf.open(lane, start);
  }

  loadLane(lane: LaneId): Promise<LaneState | undefined> {
    return this.lanesOf.load(lane);
  }

  dropLane(lane: LaneId): Promise<boolean> {
    return this.lanesOf.drop(lane);
  }

  lanes(tenantId?: string) {
    return this.lanesOf.list(tenantId, "live");
  }

  jobLanes(tenantId?: string) {
    return this.lanesOf.list(tenantId, "jobs");
  }

  commit(commits: readonly LaneCommit[]): Promise<PromiseSettledResult<void>[]> {
    return this.lanesOf.commit(commits);
  }

  settlement(lane: LaneId, sequence: number): Promise<Settlement | undefined> {
    return this.lanesOf.settlement(lane, sequence);
  }

  deadLetters(query: DeadLetterQuery): Promise<DeadLetter[]> {
    return this.letters.page(query);
  }

  deadLetter(lane: LaneId, sequence: number): Promise<DeadLetter | undefined> {
    return this.letters.one(lane, sequence);
  }

  deadLetterGroups(range: DeadLetterRange): Promise<DeadLetterGroup[]> {
    return this.letters.groups(range);
  }

  discard(letters: readonly LetterId[], stamp: { readonly at: number; readonly reason: string }): Promise<number> {
    return this.lanesOf.discard(letters, stamp);
  }

  amendment(lane: LaneId, sequence: number): Promise<Amendment | undefined> {
    return this.lanesOf.amendment(lane, sequence);
  }

  recount(lane: LaneId): Promise<Recount | undefined> {
    return this.lanesOf.recount(lane);
  }

  knownStreams(): Promise<readonly Stream[]> {
    return this.reader.knownStreams();
  }

  passOver(lane: LaneId, before: number, stamp: { readonly at: number; readonly reason: string }): Promise<number> {
    return this.lanesOf.passOver(lane, before, stamp);
  }

  storedBytes(stream: Stream): Promise<number> {
    return this.reader.storedBytes(stream);
  }

  seekBytes(stream: Stream, bytes: number): Promise<number> {
    return this.reader.seekBytes(stream, bytes);
  }

  /** Its memory and its files are Redis's own to bound and to tell. */
  async diskUse(): Promise<DiskUse | undefined> {
    return undefined;
  }

  trim(stream: Stream, before: number): Promise<void> {
    return this.trimmer.trim(stream, before);
  }

  erase(stream: Stream, sequences: readonly number[], at: number): Promise<Erased> {
    const { keys, id } = this.parts;
    const { writer } = this;
    const lanesOf = (of: Stream) => this.lanesOf.ofStream(of);
    return eraseEvents({ writer, keys, logId: () => id, reader: this.reader, lanesOf }, { stream, sequences, at });
  }

  async acceptLoss(): Promise<AcceptedLoss> {
    const loss = await acceptLoss(this.parts, { logId: this.parts.id, now: this.options.clock.now() });
    await this.guard.check();
    return loss;
  }

  handle(): RedisLogHandle {
    const { clock: _clock, logger: _logger, metrics: _metrics, ...options } = this.options;
    return { driver: "redis", options, folder: options.folder };
  }

  close(): Promise<void> {
    this.closed ??= this.shutDown();
    return this.closed;
  }

  private async shutDown(): Promise<void> {
    await this.appender.close();
    await this.guard.stop();
    await this.leases.close();
    this.notices.close();
    for (const one of [this.parts.client, this.parts.durable]) one.close();
  }

  private checkOpen(): void {
    if (this.closed !== undefined) throw new PulseGateError("log_unavailable", "The log is closed.");
  }
}
