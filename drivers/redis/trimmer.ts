import { decodeEvent } from "../../core/canonical/codec.ts";
import type { Clock } from "../../core/environment.ts";
import { type LaneId, type Stream, streamKey } from "../../core/ingestion/log.ts";
import { type Argument, type Client, listOf, textOf } from "./client.ts";
import { claimName, type Keys, laneKeyList, shardOf } from "./keys.ts";
import { EXPIRE, TRIM } from "./lua-events.ts";
import { FORGET } from "./lua-lanes.ts";
import type { StreamReader } from "./reader.ts";

export interface TrimmerOptions {
  readonly client: Client;
  readonly keys: Keys;
  readonly logId: () => string;
  readonly clock: Clock;
  readonly windowMs: number;
  readonly reader: StreamReader;
  readonly lanesOf: (stream: Stream) => Promise<readonly LaneId[]>;
}

/** Of one step: each blocks the server while it runs. */
const STEP_ENTRIES = 128;
const STEP_BYTES = 1 << 20;
const STEP_SETTLEMENTS = 100;
const STEP_EXPIRED = 200;

/** Lets go of entries, of their ids once the window is over, and of the settlements of them. */
export class Trimmer {
  private readonly options: TrimmerOptions;

  constructor(options: TrimmerOptions) {
    this.options = options;
  }

  async trim(stream: Stream, before: number): Promise<void> {
    const { reader, lanesOf } = this.options;
    const { first, end } = await reader.bounds(stream);
    const stop = Math.min(before, end);
    if (stop > first) {
      for (let at = first; at < stop; ) at = await this.step(stream, at, stop);
      for (const lane of await lanesOf(stream)) await this.forget(lane, stop);
    }
    await this.expire(stream.tenantId);
  }

  /** One bounded step; gives the new first sequence. */
  private async step(stream: Stream, from: number, stop: number): Promise<number> {
    const { client, keys, logId, clock, windowMs, reader } = this.options;
    const entries = (await reader.read(stream, from, { entries: STEP_ENTRIES, bytes: STEP_BYTES })).filter(
      ({ sequence }) => sequence < stop,
    );
    const next = entries.length === 0 ? stop : (entries.at(-1)?.sequence as number) + 1;
    const { tenantId, partition } = stream;
    const shard = shardOf(tenantId);
    const args: Argument[] = [logId(), streamKey(stream), next, clock.now(), windowMs, partition];
    for (const { sequence, receivedAt, bytes } of entries) args.push(sequence, receivedAt, ...claimNames(bytes));
    const names = [keys.id(shard), keys.entries(stream), keys.streams(shard), keys.ids(shard)];
    await client.run(TRIM, [...names, keys.idempotency(shard), keys.expiring(shard), keys.kept(stream)], args);
    return next;
  }

  private async forget(lane: LaneId, before: number): Promise<void> {
    const { client, keys } = this.options;
    const names = laneKeyList(keys.lane(lane));
    while (Number(await client.run(FORGET, names, [before, STEP_SETTLEMENTS])) > 0);
  }

  /** Ids of this tenant's shard whose events went before their window was over. */
  private async expire(tenantId: string): Promise<void> {
    const { client, keys, clock } = this.options;
    const shard = shardOf(tenantId);
    const expiring = keys.expiring(shard);
    const due = listOf(await client.call("ZRANGEBYSCORE", expiring, "-inf", clock.now(), "LIMIT", 0, STEP_EXPIRED));
    if (due.length === 0) return;
    await client.run(EXPIRE, [expiring, keys.ids(shard), keys.idempotency(shard)], due.map(textOf));
  }
}

/** Of an event's id and of its key; nothing for a key that it does not have. */
export function claimNames(bytes: Buffer): [id: string, key: string] {
  const { tenant_id, event_id, idempotency_key } = decodeEvent(bytes);
  return [claimName(tenant_id, event_id), idempotency_key === undefined ? "" : claimName(tenant_id, idempotency_key)];
}
