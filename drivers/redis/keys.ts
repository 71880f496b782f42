import { type LaneId, laneKey, type Stream, streamKey } from "../../core/ingestion/log.ts";

/**
 * How many hash tags the keys are spread over. Everything of one tenant has the same tag, because its ids and
 * keys are claimed in the same step as the append, whatever the partition. Fixed for the life of a log.
 */
export const SHARD_COUNT = 64;

/** FNV-1a of the tenant's id, modulo the number of shards. */
export function shardOf(tenantId: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < tenantId.length; i++) hash = Math.imul(hash ^ tenantId.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % SHARD_COUNT;
}

export const ALL_SHARDS: readonly number[] = Array.from({ length: SHARD_COUNT }, (_, shard) => shard);

/** The names of all keys: `{PREFIX:SHARD}:…`, so that each script's keys lie in one slot of a cluster. */
export class Keys {
  readonly prefix: string;

  constructor(prefix: string) {
    this.prefix = prefix;
  }

  /** Channel of new entries. */
  get arrivals(): string {
    return `${this.prefix}:arrivals`;
  }

  /** Channel of changes to who holds which slot. */
  get claimsChannel(): string {
    return `${this.prefix}:claims`;
  }

  private at(shard: number | "c", rest: string): string {
    return `{${this.prefix}:${shard}}:${rest}`;
  }

  /** What all shards share: the identity of the log, who holds which slot, control documents. */
  shared(name: "id" | "epochs" | "owners" | "workers" | "control" | "names" | "probe" | "decision"): string {
    return this.at("c", name);
  }

  /** The log that the shard belongs to. Gone when the shard was emptied. */
  id(shard: number): string {
    return this.at(shard, "id");
  }

  /** Stream key → `end first last-received-at`. */
  streams(shard: number): string {
    return this.at(shard, "streams");
  }

  /** Slot → the newest epoch. */
  fences(shard: number): string {
    return this.at(shard, "fences");
  }

  /** Lane key → the lane, as JSON. */
  lanes(shard: number): string {
    return this.at(shard, "lanes");
  }

  /** Ids of trimmed events within the window, by the time at which they may be forgotten. */
  expiring(shard: number): string {
    return this.at(shard, "expiring");
  }

  entries(stream: Stream): string {
    return this.at(shardOf(stream.tenantId), `e:${streamKey(stream)}`);
  }

  /** Sorted set by sequence: what is left of erased events, and what was stored together with them. */
  kept(stream: Stream): string {
    return this.at(shardOf(stream.tenantId), `z:${streamKey(stream)}`);
  }

  /** Hash: `claimName` → record, as in lua-records.ts. */
  ids(shard: number): string {
    return this.at(shard, "i");
  }

  idempotency(shard: number): string {
    return this.at(shard, "k");
  }

  /** All that is kept of one lane, in the order that the scripts expect. */
  lane(lane: LaneId): LaneKeys {
    const key = laneKey(lane);
    const of = (kind: string) => this.at(shardOf(lane.stream.tenantId), `${kind}:${key}`);
    return {
      state: of("l"),
      settlements: of("t"),
      letters: of("d"),
      received: of("r"),
      kinds: of("x"),
      counts: of("c"),
      amendments: of("a"),
      forgotten: of("f"),
    };
  }
}

/** Of an id or a key of a tenant, among those of its shard. */
export function claimName(tenantId: string, idOrKey: string): string {
  return `${tenantId}/${idOrKey}`;
}

export interface LaneKeys {
  /** Hash: start, cursor, delivered, dead, erased, `f:REASON`. */
  readonly state: string;
  /** Stream of settlements, id `TO-0`. */
  readonly settlements: string;
  /** Sorted set of dead letters by sequence. */
  readonly letters: string;
  /** Sorted set of their sequences by time of acceptance. */
  readonly received: string;
  /** Sorted set, ordered by name: `FINGERPRINT/TYPE\nSEQUENCE`. */
  readonly kinds: string;
  /** Hash: what there is of each kind. */
  readonly counts: string;
  /** Sorted set of amendments by sequence. */
  readonly amendments: string;
  /** Hash as `state`: the sum of settlements that are no longer kept. */
  readonly forgotten: string;
}

export function laneKeyList(keys: LaneKeys): string[] {
  const { state, settlements, letters, received, kinds, counts, amendments, forgotten } = keys;
  return [state, settlements, letters, received, kinds, counts, amendments, forgotten];
}
