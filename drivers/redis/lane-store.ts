import { PulseGateError } from "../../core/canonical/errors.ts";
import { amended, freshState, settled } from "../../core/ingestion/lane-state.ts";
import {
  type Amendment,
  type Claim,
  type LaneCommit,
  type LaneId,
  laneKey,
  type LaneState,
  type LetterId,
  type Recount,
  type Redriven,
  type Settlement,
  slotOf,
  type Stream,
  streamKey,
} from "../../core/ingestion/log.ts";
import { type Argument, type Client, listOf, type Reply, textOf } from "./client.ts";
import type { DurableWriter } from "./durable.ts";
import { ALL_SHARDS, type Keys, laneKeyList, shardOf } from "./keys.ts";
import { letterArgs } from "./letter-format.ts";
import { COMMIT, DISCARD, LOAD_LANE, OPEN_LANE, PASS_OVER, SNAPSHOT } from "./lua-lanes.ts";

export interface LanesOptions {
  readonly client: Client;
  readonly writer: DurableWriter;
  readonly keys: Keys;
  readonly logId: () => string;
  /** What a shard's server was when the slot was claimed: another may lack what was read since. */
  readonly historyOf: (claim: Claim, shard: number) => string;
}

type LaneRow = { readonly lane: LaneId; readonly state: LaneState };

const PAGE_SETTLEMENTS = 1_000;
const RECOUNT_TRIES_MAX = 10;
const FILTERED = "f:";

/** Cursors, counters, settlements and amendments; each change of a lane is one script. */
export class Lanes {
  private readonly options: LanesOptions;

  constructor(options: LanesOptions) {
    this.options = options;
  }

  async open(lane: LaneId, start: "tail" | "start" | number): Promise<LaneState> {
    const { writer, keys, logId } = this.options;
    // Where a lane begins must outlive the server: begun anew at a later end, it would pass over events. Where that
    // is waited for, lanes that are there do without.
    const known = writer.waiting ? await this.load(lane) : undefined;
    if (known !== undefined) return known;
    const shard = shardOf(lane.stream.tenantId);
    const names = [keys.id(shard), keys.lanes(shard), keys.streams(shard), keys.lane(lane).state];
    const args = [logId(), laneKey(lane), JSON.stringify(plainLane(lane)), start, streamKey(lane.stream)];
    return stateOf(await writer.run(OPEN_LANE, names, args)) as LaneState;
  }

  async load(lane: LaneId): Promise<LaneState | undefined> {
    const { client, keys, logId } = this.options;
    const shard = shardOf(lane.stream.tenantId);
    const names = [keys.id(shard), keys.lanes(shard), keys.lane(lane).state];
    return stateOf(await client.run(LOAD_LANE, names, [logId(), laneKey(lane)]));
  }

  async drop(lane: LaneId): Promise<boolean> {
    const { client, keys } = this.options;
    await client.call("UNLINK", ...laneKeyList(keys.lane(lane)));
    return Number(await client.call("HDEL", keys.lanes(shardOf(lane.stream.tenantId)), laneKey(lane))) > 0;
  }

  /** Ordered by lane key. */
  async ids(tenantId?: string): Promise<LaneId[]> {
    const { client, keys } = this.options;
    const shards = tenantId === undefined ? ALL_SHARDS : [shardOf(tenantId)];
    const replies = await Promise.all(shards.map((shard) => client.call("HVALS", keys.lanes(shard))));
    return replies
      .flatMap((reply) => listOf(reply).map((text) => JSON.parse(String(text)) as LaneId))
      .filter((lane) => tenantId === undefined || lane.stream.tenantId === tenantId)
      .map((lane) => ({ lane, key: laneKey(lane) }))
      .sort((a, b) => (a.key < b.key ? -1 : 1))
      .map(({ lane }) => lane);
  }

  async ofStream(stream: Stream): Promise<LaneId[]> {
    const key = streamKey(stream);
    return (await this.ids(stream.tenantId)).filter((lane) => streamKey(lane.stream) === key);
  }

  async list(tenantId: string | undefined, of: "live" | "jobs"): Promise<LaneRow[]> {
    const ids = (await this.ids(tenantId)).filter(({ job }) => (job === undefined) === (of === "live"));
    const states = await Promise.all(ids.map((lane) => this.load(lane)));
    return ids.flatMap((lane, i) => (states[i] === undefined ? [] : [{ lane, state: states[i] }]));
  }

  /** Sent together, in order; each is a step of its own. */
  commit(commits: readonly LaneCommit[]): Promise<PromiseSettledResult<void>[]> {
    return Promise.allSettled(commits.map((commit) => this.commitOne(commit)));
  }

  private async commitOne(commit: LaneCommit): Promise<void> {
    const { client, keys, logId, historyOf } = this.options;
    const { lane, claim, settlement, deadLetters, redriven = [] } = commit;
    const key = laneKey(lane);
    if (claim.slot !== slotOf(lane.stream)) throw fenced(key, `the claim on slot ${claim.slot} is not the lane's`);
    if (settlement.to < settlement.from) throw fenced(key, `the settlement ends before it starts`);
    const shard = shardOf(lane.stream.tenantId);
    const others = new OtherLanes(keys, shard);
    const changes = redriven.flatMap((one) => redrivenArgs(one, commit, others));
    const counters = countersOf(settlement);
    await client.run(
      COMMIT,
      [
        ...[keys.id(shard), keys.fences(shard), ...laneKeyList(keys.lane(lane)), ...others.keyList()],
        keys.kept(lane.stream),
      ],
      [
        ...[logId(), claim.slot, claim.epoch, key, settlement.from, settlement.to, JSON.stringify(settlement)],
        historyOf(claim, shard),
        ...[counters.length, ...counters.flat()],
        ...[deadLetters.length, ...deadLetters.flatMap(letterArgs)],
        ...[redriven.length, ...changes],
      ],
    );
  }

  async settlement(lane: LaneId, sequence: number): Promise<Settlement | undefined> {
    const { client, keys } = this.options;
    const name = keys.lane(lane).settlements;
    const [found] = listOf(await client.call("XRANGE", name, `${sequence + 1}-0`, "+", "COUNT", 1));
    if (found === undefined) return undefined;
    const settlement = settlementOf(found);
    return settlement.from <= sequence ? settlement : undefined;
  }

  async amendment(lane: LaneId, sequence: number): Promise<Amendment | undefined> {
    const { client, keys } = this.options;
    const name = keys.lane(lane).amendments;
    const [found] = listOf(await client.call("ZRANGEBYSCORE", name, sequence, sequence));
    return found === undefined ? undefined : (JSON.parse(String(found)) as Amendment);
  }

  /** One step for the letters of each shard: all of one tenant go together. A repeat passes over what is done. */
  async discard(
    letters: readonly LetterId[],
    stamp: { readonly at: number; readonly reason: string },
  ): Promise<number> {
    const { writer, keys, logId } = this.options;
    let discarded = 0;
    for (const [shard, own] of Map.groupBy(letters, ({ lane }) => shardOf(lane.stream.tenantId))) {
      const others = new OtherLanes(keys, shard);
      const args = own.flatMap(({ lane, sequence }): Argument[] => {
        const outcome = { type: "filtered", reason: stamp.reason } as const;
        const record: Amendment = { sequence, outcome, at: stamp.at };
        return [others.indexOf(lane) - 1, sequence, FILTERED + stamp.reason, JSON.stringify(record)];
      });
      discarded += Number(await writer.run(DISCARD, [keys.id(shard), ...others.keyList()], [logId(), ...args]));
    }
    return discarded;
  }

  async passOver(
    lane: LaneId,
    before: number,
    { at, reason }: { readonly at: number; readonly reason: string },
  ): Promise<number> {
    const { writer, keys, logId } = this.options;
    const shard = shardOf(lane.stream.tenantId);
    const names = [keys.id(shard), keys.streams(shard), ...laneKeyList(keys.lane(lane))];
    return Number(await writer.run(PASS_OVER, names, [logId(), streamKey(lane.stream), before, reason, at]));
  }

  /** The settlements are read in pages up to the cursor of one moment: what lies before it changes by a trim alone. */
  async recount(lane: LaneId): Promise<Recount | undefined> {
    for (let tries = 1; ; tries++) {
      const before = await this.snapshot(lane);
      if (before === undefined) return undefined;
      const { state, forgotten, amendments, deadLetters } = before;
      let recounted = plus(freshState(state.start), forgotten);
      for await (const settlement of this.settlementsTo(lane, state.cursor)) recounted = settled(recounted, settlement);
      for (const { outcome } of amendments) recounted = amended(recounted, outcome);
      const after = await this.snapshot(lane);
      const isStill = after?.forgotten?.cursor === forgotten?.cursor;
      if (isStill || tries === RECOUNT_TRIES_MAX) return { state, recounted, deadLetters };
    }
  }

  private async snapshot(lane: LaneId) {
    const { client, keys } = this.options;
    const reply = listOf(await client.run(SNAPSHOT, laneKeyList(keys.lane(lane)), []));
    const state = stateOf(reply[0]);
    if (state === undefined) return undefined;
    return {
      state,
      forgotten: stateOf(reply[1]),
      amendments: listOf(reply[2]).map((text) => JSON.parse(String(text)) as Amendment),
      deadLetters: Number(reply[3]),
    };
  }

  private async *settlementsTo(lane: LaneId, cursor: number): AsyncGenerator<Settlement> {
    const { client, keys } = this.options;
    const name = keys.lane(lane).settlements;
    for (let from = 0; ; ) {
      const page = listOf(await client.call("XRANGE", name, `${from}-0`, `${cursor}-0`, "COUNT", PAGE_SETTLEMENTS));
      for (const one of page) {
        const settlement = settlementOf(one);
        from = settlement.to + 1;
        yield settlement;
      }
      if (page.length < PAGE_SETTLEMENTS) return;
    }
  }
}

/** Numbers the lanes of one script beside its own, from 1. */
class OtherLanes {
  private readonly keys: Keys;
  private readonly shard: number;
  private readonly lanes = new Map<string, { readonly lane: LaneId; readonly index: number }>();

  constructor(keys: Keys, shard: number) {
    this.keys = keys;
    this.shard = shard;
  }

  indexOf(lane: LaneId): number {
    if (shardOf(lane.stream.tenantId) !== this.shard) {
      throw new PulseGateError("internal", `${laneKey(lane)} can't be changed in one step with another tenant's lane`);
    }
    const key = laneKey(lane);
    const known = this.lanes.get(key);
    if (known !== undefined) return known.index;
    const index = this.lanes.size + 1;
    this.lanes.set(key, { lane, index });
    return index;
  }

  keyList(): string[] {
    return [...this.lanes.values()].flatMap(({ lane }) => laneKeyList(this.keys.lane(lane)));
  }
}

function redrivenArgs({ lane, sequence, outcome }: Redriven, commit: LaneCommit, others: OtherLanes): Argument[] {
  const index = others.indexOf(lane);
  if (outcome.type === "dead") return [index, sequence, "letter", ...letterArgs(outcome.deadLetter)];
  const { settledAt: at, configRevision } = commit.settlement;
  const record: Amendment = { sequence, outcome, at, job: commit.lane.job, configRevision };
  const counter = outcome.type === "filtered" ? FILTERED + outcome.reason : outcome.type;
  return [index, sequence, counter, JSON.stringify(record)];
}

/** What a settlement adds to each counter. */
function countersOf(settlement: Settlement): Array<[string, number]> {
  const { delivered, dead, erased, filtered } = settled(freshState(settlement.from), settlement);
  const reasons = Object.entries(filtered).map(([reason, events]): [string, number] => [FILTERED + reason, events]);
  const all: Array<[string, number]> = [["delivered", delivered], ["dead", dead], ["erased", erased], ...reasons];
  return all.filter(([, events]) => events > 0);
}

/** A hash of counters; undefined when it is empty. */
function stateOf(reply: Reply | undefined): LaneState | undefined {
  const parts = listOf(reply).map(textOf);
  if (parts.length === 0) return undefined;
  const counters = new Map<string, number>();
  for (let i = 0; i < parts.length; i += 2) counters.set(parts[i] as string, Number(parts[i + 1]));
  const count = (name: string) => counters.get(name) ?? 0;
  const filtered: Record<string, number> = {};
  for (const [name, events] of counters) if (name.startsWith(FILTERED)) filtered[name.slice(FILTERED.length)] = events;
  return {
    start: count("start"),
    cursor: count("cursor"),
    delivered: count("delivered"),
    filtered,
    dead: count("dead"),
    erased: count("erased"),
  };
}

function plus(state: LaneState, more: LaneState | undefined): LaneState {
  if (more === undefined) return state;
  const filtered = { ...state.filtered };
  for (const [reason, events] of Object.entries(more.filtered)) filtered[reason] = (filtered[reason] ?? 0) + events;
  return {
    start: state.start,
    cursor: more.cursor,
    delivered: state.delivered + more.delivered,
    filtered,
    dead: state.dead + more.dead,
    erased: state.erased + more.erased,
  };
}

function settlementOf(reply: Reply): Settlement {
  const [, fields] = listOf(reply);
  return JSON.parse(String(listOf(fields)[1])) as Settlement;
}

function plainLane({ stream, sink, job }: LaneId): LaneId {
  const plain = { stream: { tenantId: stream.tenantId, partition: stream.partition }, sink };
  return job === undefined ? plain : { ...plain, job };
}

function fenced(key: string, why: string): PulseGateError {
  return new PulseGateError("fenced", `Lane ${key}: ${why}.`);
}
