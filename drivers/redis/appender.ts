import { PulseGateError } from "../../core/canonical/errors.ts";
import type { Clock } from "../../core/environment.ts";
import type { AppendEntry, Appended, Stream } from "../../core/ingestion/log.ts";
import type { LogMetrics } from "../../core/ingestion/metrics.ts";
import { AppendPart } from "./append-part.ts";
import { type Client, errorOf } from "./client.ts";
import type { DurableWriter } from "./durable.ts";
import { type Keys, shardOf } from "./keys.ts";
import { APPEND } from "./lua-append.ts";

export interface AppenderOptions {
  readonly writer: Pick<DurableWriter, "run">;
  /** What an error that a script tells of one stream means. */
  readonly translated: Client["translated"];
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

/** Of the scripts that are under way at one time. */
const COMMIT_ENTRIES_MAX = 2_048;
const COMMIT_BYTES_MAX = 16 << 20;
/** While one is at the server, the next is made and sent. */
const COMMITS_MAX = 2;
const RETRY_AFTER_MS = 1_000;

/** One call of `append`. */
interface Call {
  readonly results: Appended[];
  readonly arrivedAt: number;
  readonly resolve: (results: Appended[]) => void;
  readonly reject: (fault: PulseGateError) => void;
  open: number;
  fault: PulseGateError | undefined;
}

interface Waiting {
  readonly entry: AppendEntry;
  readonly call: Call;
  readonly index: number;
}

type Part = AppendPart<Waiting>;

/** While commits are in flight, arrivals form the next. Within a commit all scripts are sent at once, in order. */
export class Appender {
  private readonly options: AppenderOptions;
  private queue: Waiting[] = [];
  private head = 0;
  private entries = 0;
  private bytes = 0;
  private readonly inFlight = new Set<Promise<void>>();
  private isStarting = false;
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
    const arrivedAt = this.options.clock.monotonic();
    const call: Call = { results, arrivedAt, resolve, reject, open: entries.length, fault: undefined };
    for (let index = 0; index < entries.length; index++) {
      const entry = entries[index] as AppendEntry;
      this.queue.push({ entry, call, index });
      this.bytes += entry.bytes.length;
    }
    this.entries += entries.length;
    this.start();
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

  private start(): void {
    if (this.isStarting || this.head === this.queue.length) return;
    this.isStarting = true;
    // Appends of one turn of the loop go together.
    queueMicrotask(() => {
      this.isStarting = false;
      const most = this.options.byShard ? 1 : COMMITS_MAX;
      while (this.inFlight.size < most && this.head < this.queue.length) {
        const commit = this.commit(this.take()).finally(() => {
          this.inFlight.delete(commit);
          this.start();
        });
        this.inFlight.add(commit);
      }
    });
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
    if (this.head > COMMIT_ENTRIES_MAX || this.head === this.queue.length) {
      this.queue = this.queue.slice(this.head);
      this.head = 0;
    }
    return taken;
  }

  private async commit(taken: readonly Waiting[]): Promise<void> {
    const { clock, metrics, byShard } = this.options;
    const startedAt = clock.monotonic();
    const parts = partsOf(taken, byShard);
    const sent = byShard ? this.sendInTurn(parts) : parts.map(({ part }) => this.send(part));
    const stored = { entries: 0, bytes: 0 };
    for (const one of await Promise.all(sent)) {
      stored.entries += one.entries;
      stored.bytes += one.bytes;
    }
    for (const { entry } of taken) this.bytes -= entry.bytes.length;
    this.entries -= taken.length;
    if (stored.entries === 0) return;
    const waitSeconds = (startedAt - (taken[0] as Waiting).call.arrivedAt) / 1_000;
    metrics.commit({ ...stored, waitSeconds, syncSeconds: (clock.monotonic() - startedAt) / 1_000 });
  }

  /** A slot that moves refuses for a while: what comes later of a shard must not overtake what was refused. */
  private sendInTurn(parts: readonly NumberedPart[]): Promise<Stored>[] {
    const last = new Map<number, Promise<Stored>>();
    return parts.map(({ part, shard }) => {
      const send = () => this.send(part);
      const sent = last.get(shard)?.then(send) ?? send();
      last.set(shard, sent);
      return sent;
    });
  }

  /** Settles all that is in the part. */
  private async send(part: Part): Promise<Stored> {
    const { writer, keys, logId, clock, windowMs, compression } = this.options;
    const stored = { entries: 0, bytes: 0 };
    try {
      const head = [logId(), clock.now(), windowMs, keys.arrivals];
      const reply = await writer.run(APPEND, part.keyList(keys), [...head, ...part.args(compression)]);
      const outcomes = [...part.outcomes(reply)];
      this.tellGrown(outcomes);
      for (const [waiting, outcome] of outcomes) {
        if (outcome instanceof Error) this.fail([waiting], this.options.translated(outcome));
        else {
          stored.entries++;
          stored.bytes += waiting.entry.bytes.length;
          finish(waiting, outcome);
        }
      }
    } catch (error) {
      this.fail(part.members(), errorOf(error));
    }
    return stored;
  }

  private tellGrown(outcomes: ReadonlyArray<readonly [Waiting, Appended | Error]>): void {
    const ends = new Map<Stream, number>();
    for (const [{ entry }, outcome] of outcomes)
      if ("type" in outcome && outcome.type === "appended") ends.set(entry.stream, outcome.sequence + 1);
    for (const [stream, end] of ends) this.options.onGrown(stream, end);
  }

  private fail(members: Iterable<Waiting>, fault: PulseGateError): void {
    this.options.metrics.failed(fault.code);
    for (const { call } of members) {
      call.fault = fault;
      settle(call);
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    while (this.inFlight.size > 0 || this.isStarting) await Promise.all([...this.inFlight, Promise.resolve()]);
  }
}

/** Of one script. */
interface Stored {
  readonly entries: number;
  readonly bytes: number;
}

function finish({ call, index }: Waiting, outcome: Appended): void {
  call.results[index] = outcome;
  settle(call);
}

function settle(call: Call): void {
  if (--call.open > 0) return;
  if (call.fault === undefined) call.resolve(call.results);
  else call.reject(call.fault);
}

interface NumberedPart {
  readonly shard: number;
  readonly part: Part;
}

/**
 * Entries in order, as far as they are of one shard, cut by size; in a cluster each part is of one shard. What is of
 * one shard lies together otherwise, too: a script has some calls for each of its shards.
 */
function partsOf(taken: readonly Waiting[], byShard: boolean): NumberedPart[] {
  const parts: NumberedPart[] = [];
  for (const [shard, members] of shardsOf(taken)) {
    let open = byShard ? undefined : parts.at(-1)?.part;
    for (const waiting of members) {
      if (open?.add(waiting, shard) === true) continue;
      open = new AppendPart();
      open.add(waiting, shard);
      parts.push({ shard, part: open });
    }
  }
  return parts;
}

function shardsOf(taken: readonly Waiting[]): Map<number, Waiting[]> {
  const shards = new Map<number, Waiting[]>();
  let last: { readonly tenantId: string; readonly members: Waiting[] } | undefined;
  for (const waiting of taken) {
    const { tenantId } = waiting.entry.stream;
    if (last?.tenantId !== tenantId) {
      const shard = shardOf(tenantId);
      const members = shards.get(shard) ?? [];
      shards.set(shard, members);
      last = { tenantId, members };
    }
    last.members.push(waiting);
  }
  return shards;
}
