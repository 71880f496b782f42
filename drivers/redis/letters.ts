import { fits, type GroupCount, groupsOf } from "../../core/ingestion/dead-letters.ts";
import {
  type DeadLetter,
  type DeadLetterFilter,
  type DeadLetterGroup,
  type DeadLetterQuery,
  type DeadLetterRange,
  type LaneId,
  laneKey,
} from "../../core/ingestion/log.ts";
import { type Client, listOf, textOf } from "./client.ts";
import type { Keys } from "./keys.ts";
import type { Lanes } from "./lane-store.ts";
import { kindOf, letterOf, padded } from "./letter-format.ts";

interface Part {
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
  readonly limit: number;
}

const END = 999_999_999_999_999;

/** Finds and counts dead letters, lane by lane; what changes them is the lanes' part. */
export class Letters {
  private readonly client: Client;
  private readonly keys: Keys;
  private readonly lanes: Lanes;

  constructor(client: Client, keys: Keys, lanes: Lanes) {
    this.client = client;
    this.keys = keys;
    this.lanes = lanes;
  }

  async page(query: DeadLetterQuery): Promise<DeadLetter[]> {
    const { after, limit } = query;
    const behind = after === undefined ? undefined : laneKey(after.lane);
    const lanes = (await this.lanesOf(query)).filter((lane) => behind === undefined || laneKey(lane) >= behind);
    const sizes = await Promise.all(lanes.map((lane) => this.client.call("ZCARD", this.keys.lane(lane).letters)));
    const found: DeadLetter[] = [];
    for (const [i, lane] of lanes.entries()) {
      if (found.length >= limit) break;
      if (Number(sizes[i]) === 0) continue;
      const from = laneKey(lane) === behind ? (after?.sequence ?? -1) + 1 : 0;
      found.push(...(await this.ofLane(lane, query, { from, limit: limit - found.length })));
    }
    return found;
  }

  private async lanesOf(filter: DeadLetterFilter): Promise<LaneId[]> {
    const { lane: only, sink } = filter;
    const all = await this.lanes.ids(only?.stream.tenantId ?? filter.tenantId);
    return all.filter(
      (lane) =>
        (only === undefined || laneKey(only) === laneKey(lane)) &&
        (sink === undefined || lane.sink === sink) &&
        (filter.tenantId === undefined || lane.stream.tenantId === filter.tenantId),
    );
  }

  private async ofLane(lane: LaneId, query: DeadLetterQuery, { from, limit }: Omit<Part, "to">): Promise<DeadLetter[]> {
    const { from: first, to } = await this.span(lane, query);
    const part = { from: Math.max(from, first), to, limit };
    if (query.fingerprint !== undefined || query.stage !== undefined || query.eventType !== undefined)
      return this.ofKinds(lane, query, part);
    const { letters } = this.keys.lane(lane);
    const range = [part.from, `(${to}`, "LIMIT", 0, limit];
    return listOf(await this.client.call("ZRANGEBYSCORE", letters, ...range)).map((one) => letterOf(one as Buffer));
  }

  private async ofKinds(lane: LaneId, filter: DeadLetterFilter, { from, to, limit }: Part): Promise<DeadLetter[]> {
    const names = this.keys.lane(lane).kinds;
    const pages = (await this.kinds(lane, filter)).map(async (count) => {
      const kind = kindOf(count);
      const range = [`[${kind}\n${padded(from)}`, `(${kind}\n${padded(to)}`, "LIMIT", 0, limit];
      return listOf(await this.client.call("ZRANGEBYLEX", names, ...range)).map((one) =>
        Number(textOf(one).slice(kind.length + 1)),
      );
    });
    const first = (await Promise.all(pages))
      .flat()
      .sort((a, b) => a - b)
      .slice(0, limit);
    return (await Promise.all(first.map((sequence) => this.one(lane, sequence)))).flatMap((letter) => letter ?? []);
  }

  /** Times of acceptance never fall within a lane. */
  private async firstReceived(lane: LaneId, receivedAt: number): Promise<number> {
    const name = this.keys.lane(lane).received;
    const [first] = listOf(await this.client.call("ZRANGEBYSCORE", name, receivedAt, "+inf", "LIMIT", 0, 1));
    return first === undefined ? END : Number(textOf(first));
  }

  async one(lane: LaneId, sequence: number): Promise<DeadLetter | undefined> {
    const name = this.keys.lane(lane).letters;
    const [found] = listOf(await this.client.call("ZRANGEBYSCORE", name, sequence, sequence));
    return found === undefined ? undefined : letterOf(found as Buffer);
  }

  async groups(range: DeadLetterRange): Promise<DeadLetterGroup[]> {
    const counts = (await this.lanesOf(range)).map(async (lane) =>
      (await this.counted(lane, range)).map((count) => ({ lane, count })),
    );
    return groupsOf((await Promise.all(counts)).flat());
  }

  /** The kinds of a lane, with how many letters of each are of the time asked for. */
  private async counted(lane: LaneId, range: DeadLetterRange): Promise<GroupCount[]> {
    const kinds = await this.kinds(lane, range);
    if (kinds.length === 0 || (range.receivedFrom === undefined && range.receivedTo === undefined)) return kinds;
    const { from, to } = await this.span(lane, range);
    const names = this.keys.lane(lane).kinds;
    const counted = kinds.map(async (count) => {
      const kind = kindOf(count);
      const bounds = [`[${kind}\n${padded(from)}`, `(${kind}\n${padded(to)}`];
      return { ...count, events: Number(await this.client.call("ZLEXCOUNT", names, ...bounds)) };
    });
    return (await Promise.all(counted)).filter(({ events }) => events > 0);
  }

  /** The sequences of a time: `from ≤ s < to`. */
  private async span(lane: LaneId, { receivedFrom, receivedTo }: DeadLetterRange): Promise<Pick<Part, "from" | "to">> {
    const [from, to] = await Promise.all([
      receivedFrom === undefined ? 0 : this.firstReceived(lane, receivedFrom),
      receivedTo === undefined ? END : this.firstReceived(lane, receivedTo),
    ]);
    return { from, to };
  }

  /** What there is of each kind in one lane: fields `KIND\nn`, `first`, `last` and `info`. */
  private async kinds(lane: LaneId, filter: DeadLetterFilter): Promise<GroupCount[]> {
    const parts = listOf(await this.client.call("HGETALL", this.keys.lane(lane).counts)).map(textOf);
    const byKind = new Map<string, Map<string, string>>();
    for (let i = 0; i < parts.length; i += 2) {
      const [kind = "", field = ""] = (parts[i] as string).split("\n");
      const fields = byKind.get(kind) ?? new Map<string, string>();
      byKind.set(kind, fields.set(field, parts[i + 1] as string));
    }
    const counts = [...byKind].map(([kind, fields]) => countOf(kind, fields));
    return counts.filter((count) => fits(count, { ...filter, tenantId: undefined, sink: undefined }));
  }
}

function countOf(kind: string, fields: ReadonlyMap<string, string>): GroupCount {
  const slash = kind.indexOf("/");
  const { stage, code, message } = JSON.parse(fields.get("info") ?? "{}") as Pick<
    GroupCount,
    "stage" | "code" | "message"
  >;
  return {
    ...{ fingerprint: kind.slice(0, slash), eventType: kind.slice(slash + 1), stage, code, message },
    events: Number(fields.get("n")),
    firstAt: Number(fields.get("first")),
    lastAt: Number(fields.get("last")),
  };
}
