import { slotOf, type Stream, type StreamKey, streamKey } from "../../core/ingestion/log.ts";
import { KeyedHash, type Midstate } from "./hash.ts";
import type { LogIdentity } from "./folder.ts";

/** A stream's entries in one segment that has no sidecar yet. */
export interface Run {
  readonly segment: number;
  readonly first: number;
  /** Of all entries of the stream before these. */
  readonly bytesBefore: number;
  /** For each entry: where its body starts in the segment, how long it is. */
  readonly places: number[];
}

/** A stream's entries in one segment, as its sidecar tells. */
export interface SealedRun {
  readonly segment: number;
  readonly first: number;
  readonly count: number;
  /** Of its first entry, in the sidecar's index of frames. */
  readonly indexStart: number;
  /** Of all entries of the stream up to the end of these. */
  readonly bytesThrough: number;
}

export class StreamState {
  readonly stream: Stream;
  readonly key: StreamKey;
  readonly slot: number;
  /** Hash of the key, as sidecars sort by it. */
  readonly hi: number;
  readonly lo: number;
  readonly tenant: TenantState;
  /** One past the last durable sequence. */
  end = 0;
  /** Of all bodies that the stream ever had. */
  bytes = 0;
  /** The sequence to be given out next: ahead of `end` while a commit is under way. */
  next = 0;
  /** Oldest first; emptied as sidecars take over. */
  readonly runs: Run[] = [];
  /** Where the last read found itself among the sealed segments. */
  lastSealed: SealedRun | undefined;
  /** Version of the files that it was found in. */
  lastSealedIn = 0;

  constructor(tenant: TenantState, stream: Stream, hash: { readonly hi: number; readonly lo: number }) {
    this.tenant = tenant;
    this.stream = stream;
    this.key = streamKey(stream);
    this.slot = slotOf(stream);
    this.hi = hash.hi;
    this.lo = hash.lo;
  }
}

export interface TenantState {
  readonly id: string;
  readonly partitions: Map<number, StreamState>;
  /** Hash states that the tenant's event ids and idempotency keys go on from. */
  readonly eventIds: Midstate;
  readonly keys: Midstate;
}

/** All streams that this thread knows, and where their entries lie in segments without sidecars. */
export class StreamTable {
  readonly hash: KeyedHash;
  private readonly streamNames: Midstate;
  private readonly tenants = new Map<string, TenantState>();
  /** Streams with a run in a segment. */
  private readonly touched = new Map<number, StreamState[]>();

  constructor(identity: LogIdentity) {
    this.hash = new KeyedHash(identity);
    this.streamNames = this.hash.prefix("stream");
  }

  find(stream: Stream): StreamState | undefined {
    return this.tenants.get(stream.tenantId)?.partitions.get(stream.partition);
  }

  ensure(tenantId: string, partition: number): StreamState {
    const tenant = this.tenants.get(tenantId) ?? this.addTenant(tenantId);
    return tenant.partitions.get(partition) ?? this.addStream(tenant, partition);
  }

  tenant(tenantId: string): TenantState | undefined {
    return this.tenants.get(tenantId);
  }

  *all(): IterableIterator<StreamState> {
    for (const tenant of this.tenants.values()) yield* tenant.partitions.values();
  }

  /** Takes the streams up where a sidecar says that they ended. */
  load(
    directory: readonly {
      readonly key: StreamKey;
      readonly first: number;
      readonly count: number;
      readonly bytesThrough: number;
    }[],
  ): void {
    for (const { key, first, count, bytesThrough } of directory) {
      const slash = key.lastIndexOf("/");
      const state = this.ensure(key.slice(0, slash), Number(key.slice(slash + 1)));
      state.end = state.next = first + count;
      state.bytes = bytesThrough;
    }
  }

  /** Notes that an entry of the stream lies there; entries come in order. */
  record(
    state: StreamState,
    entry: { segment: number; sequence: number; bodyOffset: number; bodyLength: number },
  ): void {
    const { runs } = state;
    let run = runs.length === 0 ? undefined : runs[runs.length - 1];
    if (run === undefined || run.segment !== entry.segment) {
      run = { segment: entry.segment, first: entry.sequence, bytesBefore: state.bytes, places: [] };
      runs.push(run);
      this.touch(entry.segment, state);
    }
    run.places.push(entry.bodyOffset, entry.bodyLength);
    state.bytes += entry.bodyLength;
  }

  private touch(segment: number, state: StreamState): void {
    const list = this.touched.get(segment);
    if (list === undefined) this.touched.set(segment, [state]);
    else list.push(state);
  }

  /** Drops what is known of segments up to this one: their sidecars tell it now. */
  forgetThrough(segment: number): void {
    for (const [number, states] of this.touched) {
      if (number > segment) continue;
      for (const state of states) if (state.runs[0]?.segment === number) state.runs.shift();
      this.touched.delete(number);
    }
  }

  /** Forgets what was recorded of a segment, as if its entries had not been shown. */
  undo(segment: number): void {
    for (const state of this.touched.get(segment) ?? []) {
      const run = state.runs.at(-1);
      if (run?.segment !== segment) continue;
      state.end = run.first;
      state.bytes = run.bytesBefore;
      state.runs.pop();
    }
    this.touched.delete(segment);
  }

  private addTenant(id: string): TenantState {
    const tenant: TenantState = {
      id,
      partitions: new Map(),
      eventIds: this.hash.prefix(`event_id\0${id}`),
      keys: this.hash.prefix(`idempotency_key\0${id}`),
    };
    this.tenants.set(id, tenant);
    return tenant;
  }

  private addStream(tenant: TenantState, partition: number): StreamState {
    const stream: Stream = { tenantId: tenant.id, partition };
    this.hash.digest(this.streamNames, streamKey(stream));
    const state = new StreamState(tenant, stream, this.hash);
    tenant.partitions.set(partition, state);
    return state;
  }
}

export function runContains(run: Run, sequence: number): boolean {
  return sequence >= run.first && sequence < run.first + run.places.length / 2;
}
