import { PulseGateError } from "../../core/canonical/errors.ts";
import type { Clock, Random } from "../../core/environment.ts";
import {
  type AppendEntry,
  type Appended,
  type Claim,
  type Claims,
  type Amendment,
  type ControlStore,
  type DeadLetter,
  type DeadLetterGroup,
  type DeadLetterQuery,
  type DeadLetterRange,
  type DiskUse,
  type Erased,
  type ErasingLog,
  type IngestionLog,
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
  slotOf,
} from "../../core/ingestion/log.ts";
import { ArrivalHub } from "../arrivals.ts";
import { ClaimTable } from "./claims.ts";
import { ControlTable } from "./control.ts";
import { EventTable } from "./events.ts";
import { FaultDice, type MemoryFaults } from "./faults.ts";
import { LaneTable } from "./lanes.ts";

export type { MemoryFaults } from "./faults.ts";

export interface MemoryLogOptions {
  readonly clock: Clock;
  /** Needed with `faults`: the same seed gives the same faults. */
  readonly random?: Random;
  readonly faults?: MemoryFaults;
  /** Deduplication window; 24 h by default. */
  readonly windowMs?: number;
}

const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * A log for tests: the whole port in memory, deterministic, with faults by seed. What a crash would
 * leave lives apart from the handle, so that `restart` shows what a new process would find.
 */
export function openMemoryLog(options: MemoryLogOptions): MemoryLog {
  const { clock, faults = {}, windowMs = DAY_MS } = options;
  const random = options.random ?? (() => 0.5);
  return new MemoryLog({
    clock,
    dice: new FaultDice({ faults, random, clock }),
    events: new EventTable(windowMs),
    lanes: new LaneTable(),
    claims: new ClaimTable(),
    control: new ControlTable(),
  });
}

interface Parts {
  readonly clock: Clock;
  readonly dice: FaultDice;
  readonly events: EventTable;
  readonly lanes: LaneTable;
  readonly claims: ClaimTable;
  readonly control: ControlTable;
}

export class MemoryLog implements IngestionLog, ErasingLog {
  readonly #parts: Parts;
  readonly #hub = new ArrivalHub();
  /** Effects of calls that have not happened yet: at a crash, each happens or does not. */
  readonly #inFlight = new Set<() => unknown>();
  #closed = false;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  append(entries: readonly AppendEntry[]): Promise<Appended[]> {
    return this.#write(() => {
      this.#parts.dice.checkSpace();
      const { results, grown } = this.#parts.events.append(entries, this.#parts.clock.now());
      this.#hub.announce(grown.values());
      return results;
    });
  }

  async probe(): Promise<void> {
    await this.#write(() => this.#parts.dice.checkSpace());
  }

  read(stream: Stream, from: number, limits: ReadLimits): Promise<LogEntry[]> {
    return this.#call(() => this.#parts.events.read(stream, from, limits));
  }

  arrivals(slots: ReadonlySet<number>, signal: AbortSignal): AsyncIterable<readonly Stream[]> {
    this.#checkOpen();
    return this.#hub.subscribe(slots, signal);
  }

  seek(stream: Stream, receivedAt: number): Promise<number> {
    return this.#call(() => this.#parts.events.seek(stream, receivedAt));
  }

  bounds(stream: Stream): Promise<StreamBounds> {
    return this.#call(() => this.#parts.events.bounds(stream));
  }

  find(tenantId: string, eventId: string): Promise<(Position & { readonly receivedAt: number }) | undefined> {
    return this.#call(() => this.#parts.events.find(tenantId, eventId));
  }

  claims(workerId: string): Promise<Claims> {
    return this.#call(() => this.#parts.claims.claims(workerId));
  }

  openLane(lane: LaneId, start: "tail" | "start" | number): Promise<LaneState> {
    return this.#call(() => {
      const { first, end } = this.#parts.events.bounds(lane.stream);
      return this.#parts.lanes.open(lane, typeof start === "number" ? start : start === "tail" ? end : first);
    });
  }

  loadLane(lane: LaneId): Promise<LaneState | undefined> {
    return this.#call(() => this.#parts.lanes.load(lane));
  }

  dropLane(lane: LaneId): Promise<boolean> {
    return this.#write(() => this.#parts.lanes.drop(lane));
  }

  lanes(tenantId?: string): Promise<ReadonlyArray<{ readonly lane: LaneId; readonly state: LaneState }>> {
    return this.#call(() => this.#parts.lanes.list(tenantId, "live"));
  }

  jobLanes(tenantId?: string): Promise<ReadonlyArray<{ readonly lane: LaneId; readonly state: LaneState }>> {
    return this.#call(() => this.#parts.lanes.list(tenantId, "jobs"));
  }

  commit(commits: readonly LaneCommit[]): Promise<PromiseSettledResult<void>[]> {
    return this.#write(() => commits.map((commit) => this.#commitOne(commit)));
  }

  #commitOne(commit: LaneCommit): PromiseSettledResult<void> {
    const { dice, claims, lanes, events } = this.#parts;
    try {
      if (dice.happens("lostClaim")) this.#loseClaim(commit.claim.slot);
      claims.check(commit.claim, slotOf(commit.lane.stream));
      if (commit.deadLetters.length > 0 && dice.happens("deadLetterFailure")) throw unavailable("dead letter refused");
      lanes.commit(commit, events.bounds(commit.lane.stream).end);
      if (dice.happens("unknown")) throw unavailable("the commit's outcome is unknown");
      return { status: "fulfilled", value: undefined };
    } catch (reason) {
      return { status: "rejected", reason };
    }
  }

  #loseClaim(slot: number): void {
    const { clock, dice, claims } = this.#parts;
    claims.takeOver(slot);
    void clock.sleep(dice.durationMs("lostClaimMsMax")).then(() => claims.giveBack(slot));
  }

  settlement(lane: LaneId, sequence: number): Promise<Settlement | undefined> {
    return this.#call(() => this.#parts.lanes.settlement(lane, sequence));
  }

  deadLetters(query: DeadLetterQuery): Promise<DeadLetter[]> {
    return this.#call(() => this.#parts.lanes.deadLetters(query));
  }

  deadLetter(lane: LaneId, sequence: number): Promise<DeadLetter | undefined> {
    return this.#call(() => this.#parts.lanes.deadLetter(lane, sequence));
  }

  deadLetterGroups(range: DeadLetterRange): Promise<DeadLetterGroup[]> {
    return this.#call(() => this.#parts.lanes.deadLetterGroups(range));
  }

  discard(letters: readonly LetterId[], stamp: { readonly at: number; readonly reason: string }): Promise<number> {
    return this.#write(() => this.#parts.lanes.discard(letters, stamp));
  }

  amendment(lane: LaneId, sequence: number): Promise<Amendment | undefined> {
    return this.#call(() => this.#parts.lanes.amendment(lane, sequence));
  }

  recount(lane: LaneId): Promise<Recount | undefined> {
    return this.#call(() => this.#parts.lanes.recount(lane));
  }

  readonly control: ControlStore = {
    get: (key) => this.#call(() => this.#parts.control.get(key)),
    put: (key, value, version) => this.#call(() => this.#parts.control.put(key, value, version)),
    remove: (key, version) => this.#call(() => this.#parts.control.remove(key, version)),
    list: (prefix) => this.#call(() => this.#parts.control.list(prefix)),
  };

  knownStreams(): Promise<readonly Stream[]> {
    return this.#call(() => this.#parts.events.streams());
  }

  async trim(stream: Stream, before: number): Promise<void> {
    await this.#call(() => this.#parts.events.trim(stream, before));
  }

  passOver(lane: LaneId, before: number, stamp: { readonly at: number; readonly reason: string }): Promise<number> {
    const { events, lanes } = this.#parts;
    return this.#write(() => lanes.passOver(lane, Math.min(before, events.bounds(lane.stream).end), stamp));
  }

  storedBytes(stream: Stream): Promise<number> {
    return this.#call(() => this.#parts.events.storedBytes(stream));
  }

  seekBytes(stream: Stream, bytes: number): Promise<number> {
    return this.#call(() => this.#parts.events.seekBytes(stream, bytes));
  }

  async diskUse(): Promise<DiskUse | undefined> {
    return undefined;
  }

  erase(stream: Stream, sequences: readonly number[], at: number): Promise<Erased> {
    return this.#write(() => {
      const { events, lanes } = this.#parts;
      return { events: events.erase(stream, sequences, at), deadLetters: lanes.erase(stream, sequences, at) };
    });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#hub.close();
    this.#parts.claims.forget();
  }

  /**
   * What a new process finds. This handle is dead afterwards: calls in flight are rejected, and each
   * of their effects happened or not, by the seed.
   */
  restart(): MemoryLog {
    const inFlight = [...this.#inFlight];
    this.#inFlight.clear();
    for (const effect of inFlight) if (this.#parts.dice.happens("keepInFlight")) attempt(effect);
    void this.close();
    return new MemoryLog(this.#parts);
  }

  /** Another process takes the slot and keeps it until `giveBack`. Returns its claim. */
  takeOver(slot: number): Claim {
    return this.#parts.claims.takeOver(slot);
  }

  giveBack(slot: number): void {
    this.#parts.claims.giveBack(slot);
  }

  /** Faults off lets a run come to its end. */
  setFaults(enabled: boolean): void {
    this.#parts.dice.enabled = enabled;
  }

  /** A call that changes what is durable: it may fail before, or be done and its answer lost. */
  async #write<T>(effect: () => T): Promise<T> {
    const { dice } = this.#parts;
    const result = await this.#settle(() => {
      if (dice.happens("failure")) throw unavailable("nothing was stored");
      return effect();
    });
    if (dice.happens("unknown")) throw unavailable("the outcome is unknown");
    return result;
  }

  async #call<T>(effect: () => T): Promise<T> {
    if (this.#parts.dice.happens("readFailure")) throw unavailable("the call failed");
    return this.#settle(effect);
  }

  async #settle<T>(effect: () => T): Promise<T> {
    const { dice } = this.#parts;
    this.#checkOpen();
    this.#inFlight.add(effect);
    await dice.delay();
    // Gone: a restart has decided what became of it.
    if (!this.#inFlight.delete(effect)) throw unavailable("the log was restarted");
    this.#checkOpen();
    const result = effect();
    await dice.delay();
    this.#checkOpen();
    return result;
  }

  #checkOpen(): void {
    if (this.#closed) throw unavailable("the log is closed");
  }
}

function attempt(effect: () => unknown): void {
  try {
    effect();
  } catch {
    // A refused call that nobody waits for any more.
  }
}

function unavailable(why: string): PulseGateError {
  return new PulseGateError("log_unavailable", `in-memory log: ${why}`);
}
