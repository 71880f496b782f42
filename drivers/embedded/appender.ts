import { PulseGateError } from "../../core/canonical/errors.ts";
import type { Clock } from "../../core/environment.ts";
import type { LogMetrics } from "../../core/ingestion/metrics.ts";
import { type CommitBatch, CommitQueue, type Queued } from "./commit-queue.ts";
import { type Disk, errorCodeOf, isOutOfSpace } from "./disk.ts";
import { type LogFolder, segmentPath } from "./folder.ts";
import { AT_ONCE_BYTES_MAX } from "./quick-writes.ts";
import { BLOCK_HEADER_BYTES, BlockWriter, SEGMENT_HEADER_BYTES } from "./segment-format.ts";
import type { Sealed } from "./sidecar-writer.ts";
import type { StreamState } from "./streams.ts";

/** An entry that is to be written. */
export interface QueuedEntry extends Queued {
  readonly stream: StreamState;
  /** Set when its block is built: what the entry got, and where it lies. */
  sequence: number;
  receivedAt: number;
  segment: number;
  frameOffset: number;
  bodyOffset: number;
}

export interface AppenderEvents<T> {
  /** The entries of one commit are durable, in order. */
  committed(entries: readonly T[], end: { readonly segment: number; readonly offset: number }): void;
  /** The entries are not acknowledged, now or later. */
  rejected(entries: readonly T[], error: PulseGateError): void;
  /** A segment takes no more; the next is already in use. */
  sealed(sealed: Sealed): void;
  /** A segment of this number is needed, soon or now. */
  needed(segment: number): void;
  /** No write may follow: the state of the storage is unknown. */
  failed(error: PulseGateError): void;
}

export interface AppenderOptions<T> {
  readonly disk: Disk;
  readonly folder: LogFolder;
  readonly clock: Clock;
  readonly metrics: LogMetrics;
  readonly events: AppenderEvents<T>;
  readonly commitBytesMax: number;
  readonly start: AppendStart;
}

/** Where the log ends. */
export interface AppendStart {
  readonly segment: number;
  readonly offset: number;
  readonly commit: number;
  /** The newest time of acceptance. */
  readonly receivedAt: number;
}

/** Turns of the event loop that a commit waits at the most while each brings more entries: well under a millisecond when idle. */
const GATHER_TURNS_MAX = 16;
/** So many entries wait for no more: a larger commit saves nothing, and turns that bring batches are long. */
const GATHER_ENTRIES_MAX = 256;

/**
 * Group commit: one write under way, and what comes meanwhile is the next. A write is durable when it
 * returns (O_DSYNC), so acknowledgements follow the writes in order.
 */
export class Appender<T extends QueuedEntry> {
  private readonly options: AppenderOptions<T>;
  private readonly writer = new BlockWriter();
  private readonly queue = new CommitQueue<T>();
  private probes: Array<{ resolve: () => void; reject: (error: unknown) => void }> = [];
  private batch: T[] = [];
  private batchProbes: Array<{ resolve: () => void; reject: (error: unknown) => void }> = [];
  private state: "idle" | "scheduled" | "writing" | "waiting" | "failed" = "idle";
  private file: number;
  private segment: number;
  private offset: number;
  private commit: number;
  private lastReceivedAt: number;
  private nextReady = false;
  private isFull = false;
  private mustRoll = false;
  private gathered = 0;
  private gatherTurns = 0;
  private readonly monotonic: () => number;
  private batchSince = 0;
  private writeStarted = 0;
  private wrote = 0;
  private failure: PulseGateError | undefined;
  private onIdle: (() => void) | undefined;

  constructor(options: AppenderOptions<T>) {
    this.options = options;
    this.monotonic = () => options.clock.monotonic();
    const { segment, offset, commit, receivedAt } = options.start;
    this.segment = segment;
    this.offset = offset;
    this.commit = commit;
    this.lastReceivedAt = receivedAt;
    this.file = options.disk.openForAppend(segmentPath(options.folder, segment, "seg"));
  }

  /** Wall time that never falls: what the next commit will be stamped with, or a little less. */
  now(): number {
    return Math.max(this.lastReceivedAt, Math.floor(this.options.clock.now()));
  }

  get end(): { readonly segment: number; readonly offset: number } {
    return { segment: this.segment, offset: this.offset };
  }

  enqueue(entry: T): void {
    this.queue.push(entry, this.monotonic);
    this.schedule();
  }

  /** Resolves when a write that began after the call is durable. */
  probe(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.probes.push({ resolve, reject });
      this.schedule();
    });
  }

  private schedule(): void {
    if (this.state === "failed") this.rejectAll(this.failure as PulseGateError);
    else if (this.state === "waiting" && this.isFull) this.rejectAll(full());
    else if (this.state === "idle") {
      this.state = "scheduled";
      // Everything that this turn of the loop brings goes into the same commit.
      setImmediate(this.begin);
    }
  }

  /**
   * A call's entries are enqueued. As many as make a write that is done aside are not kept until this turn of the
   * loop is over: they are written while it goes on.
   */
  enqueued(): void {
    if (this.state === "scheduled" && this.queue.freshBytes > AT_ONCE_BYTES_MAX) this.beginNow();
  }

  private readonly begin = (): void => {
    // What it was for may have begun sooner.
    if (this.state !== "scheduled") return;
    if (this.gathers()) {
      setImmediate(this.begin);
      return;
    }
    this.beginNow();
  };

  private beginNow(): void {
    try {
      this.next();
    } catch (error) {
      // A segment that can't be opened or closed: no storage to go on with.
      this.stop(unavailable(errorCodeOf(error), error));
    }
  }

  /**
   * Whether the last turn of the loop brought entries, so that another may: each commit costs two
   * wake-ups of other threads, so few large ones leave more of the machine to everything else.
   */
  private gathers(): boolean {
    const { length } = this.queue;
    const grows = length > this.gathered && length < GATHER_ENTRIES_MAX;
    if (grows && this.gatherTurns < GATHER_TURNS_MAX) {
      this.gathered = length;
      this.gatherTurns++;
      return true;
    }
    this.gathered = 0;
    this.gatherTurns = 0;
    return false;
  }

  private next(): void {
    if (this.state === "failed") return;
    this.state = "idle";
    if (this.queue.length === 0 && this.probes.length === 0) {
      this.onIdle?.();
      return;
    }
    const { commitBytesMax, folder } = this.options;
    const room = () => Math.min(commitBytesMax, folder.identity.segmentBytes - this.offset) - BLOCK_HEADER_BYTES;
    const needed = BLOCK_HEADER_BYTES + this.queue.nextBytes(room());
    if ((this.mustRoll || this.offset + needed > folder.identity.segmentBytes) && !this.roll()) return;
    this.write(this.build(this.queue.take(room())));
  }

  /** Goes on in the next segment; false when it is not there yet. */
  private roll(): boolean {
    if (!this.nextReady) {
      this.state = "waiting";
      if (this.isFull) this.rejectAll(full());
      return false;
    }
    const { disk, folder, events } = this.options;
    const sealed = { segment: this.segment, end: this.offset };
    const next = disk.openForAppend(segmentPath(folder, this.segment + 1, "seg"));
    disk.close(this.file);
    this.segment++;
    this.file = next;
    this.offset = SEGMENT_HEADER_BYTES;
    this.nextReady = false;
    this.mustRoll = false;
    events.needed(this.segment + 1);
    events.sealed(sealed);
    return true;
  }

  private build({ entries, since }: CommitBatch<T>): Buffer {
    const { writer } = this;
    let bytes = BLOCK_HEADER_BYTES;
    for (const { frameBytes } of entries) bytes += frameBytes;
    this.batchSince = since;
    this.lastReceivedAt = this.now();
    writer.begin(bytes, this.lastReceivedAt);
    for (const queued of entries) this.place(queued);
    this.batch = entries;
    this.batchProbes = this.probes;
    this.probes = [];
    const { segment, offset } = this;
    const { magic } = this.options.folder.identity;
    return writer.finish({ magic, segment, offset, commit: this.commit + 1, receivedAt: this.lastReceivedAt });
  }

  private place(queued: T): void {
    const { entry, stream } = queued;
    queued.sequence = stream.next++;
    queued.receivedAt = this.lastReceivedAt;
    queued.segment = this.segment;
    queued.frameOffset = this.offset + this.writer.end;
    queued.bodyOffset =
      this.offset +
      this.writer.add({
        tenantId: entry.stream.tenantId,
        partition: entry.stream.partition,
        sequence: queued.sequence,
        eventId: entry.eventId,
        idempotencyKey: entry.idempotencyKey,
        body: entry.bytes,
      });
  }

  private write(block: Buffer): void {
    this.state = "writing";
    this.writeStarted = this.options.clock.monotonic();
    this.wrote = 0;
    const step = (error: NodeJS.ErrnoException | null, written: number): void => {
      if (error !== null) this.writeFailed(error);
      else if (this.wrote + written < block.length) {
        this.wrote += written;
        this.options.disk.write(this.file, block.subarray(this.wrote), this.offset + this.wrote, step);
      } else this.written(block.length);
    };
    this.options.disk.write(this.file, block, this.offset, step);
  }

  private written(bytes: number): void {
    const { clock, metrics, events } = this.options;
    const { batch, batchProbes } = this;
    this.offset += bytes;
    this.commit++;
    const now = clock.monotonic();
    metrics.commit({
      entries: batch.length,
      bytes,
      waitSeconds: batch.length === 0 ? 0 : Math.max(0, this.writeStarted - this.batchSince) / 1000,
      syncSeconds: (now - this.writeStarted) / 1000,
    });
    this.release();
    events.committed(batch, { segment: this.segment, offset: this.offset });
    for (const probe of batchProbes) probe.resolve();
  }

  /** The write is over: what came meanwhile is next. */
  private release(): void {
    this.batch = [];
    this.batchProbes = [];
    this.state = "scheduled";
    setImmediate(this.begin);
  }

  private writeFailed(error: NodeJS.ErrnoException): void {
    const { batch, batchProbes } = this;
    for (const { stream } of batch) stream.next = stream.end;
    if (!isOutOfSpace(error)) {
      this.fail(unavailable(errorCodeOf(error), error), batch, batchProbes);
      return;
    }
    // What was written of the block is left behind: the number of the next commit tells that it does not count.
    this.mustRoll = true;
    this.release();
    const reason = full(error);
    this.options.metrics.failed("log_full");
    this.options.events.rejected(batch, reason);
    for (const probe of batchProbes) probe.reject(reason);
  }

  private fail(
    error: PulseGateError,
    batch: readonly T[],
    probes: readonly { reject: (error: unknown) => void }[],
  ): void {
    this.state = "failed";
    this.failure = error;
    this.options.metrics.failed("log_unavailable");
    this.options.events.rejected(batch, error);
    for (const probe of probes) probe.reject(error);
    this.rejectAll(error);
    this.options.events.failed(error);
  }

  private rejectAll(error: PulseGateError): void {
    const { probes } = this;
    this.probes = [];
    this.options.events.rejected(this.queue.drain(), error);
    for (const probe of probes) probe.reject(error);
    this.onIdle?.();
  }

  /** The segment after the current one is there. */
  prepared(): void {
    this.nextReady = true;
    this.isFull = false;
    if (this.state !== "waiting") return;
    this.state = "scheduled";
    setImmediate(this.begin);
  }

  /** There is no room for the next segment. Entries that still fit the current one go on being taken. */
  prepareFailed(): void {
    this.isFull = true;
    if (this.state === "waiting") this.rejectAll(full());
  }

  /** Stops for good, as after an error of the storage. */
  stop(error: PulseGateError): void {
    if (this.state !== "failed") this.fail(error, this.batch, this.batchProbes);
  }

  /** Resolves when nothing is queued or being written. */
  async drained(): Promise<void> {
    if (this.state === "idle" || this.state === "failed" || (this.state === "waiting" && this.isFull)) return;
    await new Promise<void>((resolve) => {
      this.onIdle = resolve;
    });
  }

  get isFailed(): boolean {
    return this.state === "failed";
  }

  close(): void {
    this.options.disk.close(this.file);
  }
}

function full(cause?: unknown): PulseGateError {
  return new PulseGateError(
    "log_full",
    "The storage of the ingestion log is full. Nothing of this was acknowledged; free space and it goes on by itself.",
    {
      cause,
      retryAfterMs: 1000,
    },
  );
}

function unavailable(code: string, cause: unknown): PulseGateError {
  return new PulseGateError(
    "log_unavailable",
    `A write to the ingestion log failed (${code}). What was in flight may or may not be stored; PulseGate must be restarted.`,
    { cause },
  );
}
