import { hash } from "node:crypto";
import { contentOf } from "../../core/canonical/codec.ts";
import { PulseGateError } from "../../core/canonical/errors.ts";
import type { Clock } from "../../core/environment.ts";
import { type AppendEntry, type Appended, type Stream, type StreamKey, streamKey } from "../../core/ingestion/log.ts";
import type { LogMetrics } from "../../core/ingestion/metrics.ts";
import { type Argument, errorOf, listOf, type Reply } from "./client.ts";
import type { DurableWriter } from "./durable.ts";
import { type Keys, shardOf } from "./keys.ts";
import { APPEND } from "./lua-events.ts";
import { pack } from "./payload.ts";

export interface AppenderOptions {
  readonly writer: Pick<DurableWriter, "run">;
  /** The keys of one script lie on one server: each is of one shard. */
  readonly byShard: boolean;
  readonly keys: Keys;
  readonly logId: () => string;
  readonly clock: Clock;
  readonly metrics: LogMetrics;
  readonly windowMs: number;
  readonly pendingEntriesMax: number;
  readonly pendingBytesMax: number;
  readonly compression: "none" | "zstd";
  /** Told which streams grew, and to where, before the appends resolve. */
  readonly onGrown: (stream: Stream, end: number) => void;
}

/** Of one script: it blocks the server while it runs. */
const SCRIPT_ENTRIES_MAX = 48;
const SCRIPT_BYTES_MAX = 1 << 20;
/** Of the scripts that are under way at one time. */
const COMMIT_ENTRIES_MAX = 2_048;
const COMMIT_BYTES_MAX = 16 << 20;
const RETRY_AFTER_MS = 1_000;

interface Waiting {
  readonly entry: AppendEntry;
  readonly arrivedAt: number;
  readonly settle: (result: Appended | PulseGateError) => void;
}

/** While one commit is in flight, arrivals form the next. Within a commit all scripts are sent at once, in order. */
export class Appender {
  private readonly options: AppenderOptions;
  private queue: Waiting[] = [];
  private head = 0;
  private entries = 0;
  private bytes = 0;
  private running: Promise<void> | undefined;
  private closed = false;

  constructor(options: AppenderOptions) {
    this.options = options;
  }

  async append(entries: readonly AppendEntry[]): Promise<Appended[]> {
    if (this.closed) throw new PulseGateError("log_unavailable", "The log is closed.");
    if (entries.length === 0) return [];
    this.checkRoom(entries);
    const { promise, resolve, reject } = Promise.withResolvers<Appended[]>();
    const results: Appended[] = new Array(entries.length);
    let open = entries.length;
    let fault: PulseGateError | undefined;
    const arrivedAt = this.options.clock.monotonic();
    for (const [i, entry] of entries.entries()) {
      const settle = (result: Appended | PulseGateError): void => {
        if (result instanceof PulseGateError) fault = result;
        else results[i] = result;
        if (--open > 0) return;
        if (fault === undefined) resolve(results);
        else reject(fault);
      };
      this.queue.push({ entry, arrivedAt, settle });
      this.entries++;
      this.bytes += entry.bytes.length;
    }
    this.running ??= this.run();
    return promise;
  }

  private checkRoom(entries: readonly AppendEntry[]): void {
    const { pendingEntriesMax, pendingBytesMax } = this.options;
    const bytes = entries.reduce((sum, entry) => sum + entry.bytes.length, 0);
    const isFull = this.entries + entries.length > pendingEntriesMax || this.bytes + bytes > pendingBytesMax;
    // What is alone is let in, however large.
    if (!isFull || this.entries === 0) return;
    const why = "Too much is waiting to be written to the ingestion log.";
    throw new PulseGateError("overloaded", why, { retryAfterMs: RETRY_AFTER_MS });
  }

  private async run(): Promise<void> {
    // Appends of one turn of the loop go together.
    await Promise.resolve();
    while (this.head < this.queue.length) await this.commit(this.take());
    this.queue = [];
    this.head = 0;
    this.running = undefined;
  }

  private take(): Waiting[] {
    let bytes = 0;
    let end = this.head;
    for (; end < this.queue.length && end - this.head < COMMIT_ENTRIES_MAX; end++) {
      bytes += (this.queue[end] as Waiting).entry.bytes.length;
      if (bytes > COMMIT_BYTES_MAX && end > this.head) break;
    }
    const taken = this.queue.slice(this.head, end);
    this.head = end;
    if (this.head > COMMIT_ENTRIES_MAX) {
      this.queue = this.queue.slice(this.head);
      this.head = 0;
    }
    return taken;
  }

  private async commit(taken: readonly Waiting[]): Promise<void> {
    const { clock, metrics, byShard } = this.options;
    const startedAt = clock.monotonic();
    const parts = partsOf(taken, byShard);
    const sent = byShard ? this.sendInTurn(parts) : parts.map((part) => this.send(part));
    // They are awaited in turn, and one may fail before its turn.
    for (const one of sent) one.catch(() => {});
    let bytes = 0;
    let stored = 0;
    for (const [i, part] of parts.entries()) {
      try {
        const results = await (sent[i] as Promise<Appended[]>);
        for (const [j, waiting] of part.entries()) {
          bytes += waiting.entry.bytes.length;
          waiting.settle(results[j] as Appended);
        }
        stored += part.length;
      } catch (error) {
        const fault = errorOf(error);
        metrics.failed(fault.code);
        for (const waiting of part) waiting.settle(fault);
      }
    }
    for (const { entry } of taken) this.bytes -= entry.bytes.length;
    this.entries -= taken.length;
    if (stored === 0) return;
    const waitSeconds = (startedAt - (taken[0] as Waiting).arrivedAt) / 1_000;
    metrics.commit({ entries: stored, bytes, waitSeconds, syncSeconds: (clock.monotonic() - startedAt) / 1_000 });
  }

  /** A slot that moves refuses for a while: what comes later of a shard must not overtake what was refused. */
  private sendInTurn(parts: readonly Waiting[][]): Promise<Appended[]>[] {
    const last = new Map<number, Promise<Appended[]>>();
    return parts.map((part) => {
      const shard = shardOf((part[0] as Waiting).entry.stream.tenantId);
      const send = () => this.send(part);
      const sent = last.get(shard)?.then(send, send) ?? send();
      last.set(shard, sent);
      return sent;
    });
  }

  private async send(part: readonly Waiting[]): Promise<Appended[]> {
    const { writer, keys, logId, clock, windowMs, onGrown } = this.options;
    const layout = new Layout(keys);
    const entries: Argument[] = [];
    for (const { entry } of part) {
      const { eventId, idempotencyKey = "", bytes, stream } = entry;
      const { field, value } = pack(bytes, this.options.compression);
      entries.push(layout.indexOf(stream), eventId, idempotencyKey, contentHash(bytes), field, value);
    }
    const head = [logId(), clock.now(), windowMs, keys.arrivals, layout.shards, layout.streams.length];
    const reply = await writer.run(APPEND, layout.keyList(), [...head, ...layout.args(), part.length, ...entries]);
    const results = listOf(reply).map((one, i) => appendedOf(one, (part[i] as Waiting).entry));
    for (const [i, result] of results.entries())
      if (result.type === "appended") onGrown((part[i] as Waiting).entry.stream, result.sequence + 1);
    return results;
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.running;
  }
}

/** 16 bytes: as good as equal content. */
function contentHash(bytes: Buffer): Buffer {
  return (hash("sha256", contentOf(bytes), "buffer") as Buffer).subarray(0, 16);
}

/** Entries in order, cut by size; in a cluster each part is of one shard. */
function partsOf(taken: readonly Waiting[], byShard: boolean): Waiting[][] {
  const parts: Waiting[][] = [];
  const open = new Map<number, { part: Waiting[]; bytes: number }>();
  for (const waiting of taken) {
    const shard = byShard ? shardOf(waiting.entry.stream.tenantId) : 0;
    let current = open.get(shard);
    if (current === undefined || current.part.length >= SCRIPT_ENTRIES_MAX || current.bytes >= SCRIPT_BYTES_MAX) {
      current = { part: [], bytes: 0 };
      open.set(shard, current);
      parts.push(current.part);
    }
    current.part.push(waiting);
    current.bytes += waiting.entry.bytes.length;
  }
  return parts;
}

/** Numbers the shards and streams of one script, from 1. */
class Layout {
  private readonly keys: Keys;
  private readonly shardNumbers = new Map<number, number>();
  private readonly streamNumbers = new Map<StreamKey, number>();
  readonly streams: Stream[] = [];

  constructor(keys: Keys) {
    this.keys = keys;
  }

  get shards(): number {
    return this.shardNumbers.size;
  }

  indexOf(stream: Stream): number {
    const key = streamKey(stream);
    const known = this.streamNumbers.get(key);
    if (known !== undefined) return known;
    this.streams.push(stream);
    this.streamNumbers.set(key, this.streams.length);
    const shard = shardOf(stream.tenantId);
    if (!this.shardNumbers.has(shard)) this.shardNumbers.set(shard, this.shardNumbers.size + 1);
    return this.streams.length;
  }

  keyList(): string[] {
    const { keys } = this;
    const ofShards = [...this.shardNumbers.keys()].flatMap((shard) => [keys.id(shard), keys.streams(shard)]);
    const ofStreams = this.streams.flatMap((stream) => [
      keys.entries(stream),
      keys.ids(stream.tenantId),
      keys.idempotency(stream.tenantId),
    ]);
    return [...ofShards, ...ofStreams];
  }

  args(): Argument[] {
    return this.streams.flatMap((stream) => [
      this.shardNumbers.get(shardOf(stream.tenantId)) as number,
      streamKey(stream),
    ]);
  }
}

const APPENDED = /^a (\d+) (\d+)$/;
const DUPLICATE = /^d (\d+) (\d+) (\d+) ([^]*)$/;
const CONFLICT = /^([ik]) ([^]*)$/;

/** What the script says of one entry. */
function appendedOf(reply: Reply, { stream }: AppendEntry): Appended {
  const text = String(reply);
  const stored = APPENDED.exec(text);
  if (stored !== null) return { type: "appended", sequence: Number(stored[1]), receivedAt: Number(stored[2]) };
  const repeated = DUPLICATE.exec(text);
  if (repeated !== null) {
    const [, partition, sequence, receivedAt, eventId = ""] = repeated;
    return {
      type: "duplicate",
      stream: { tenantId: stream.tenantId, partition: Number(partition) },
      sequence: Number(sequence),
      receivedAt: Number(receivedAt),
      eventId,
    };
  }
  const [, kind, eventId = ""] = CONFLICT.exec(text) ?? [];
  return { type: "conflict", field: kind === "k" ? "idempotency_key" : "event_id", eventId };
}
