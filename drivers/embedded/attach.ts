import type {
  ControlStore,
  LaneStore,
  LogEntry,
  LogReader,
  Position,
  ReadLimits,
  Stream,
  StreamBounds,
} from "../../core/ingestion/log.ts";
import { Arrivals } from "./arrivals.ts";
import { realDisk } from "./disk.ts";
import { LogFiles } from "./files.ts";
import { findEvent } from "./find.ts";
import { IdIndex } from "./id-index.ts";
import type { EmbeddedLogHandle } from "./options.ts";
import { StoredLanes } from "./lane-store.ts";
import { StreamReader } from "./reader.ts";
import { SharedProgress } from "./shared.ts";
import { ALL_SLOTS, StateStore } from "./state.ts";
import { StreamTable } from "./streams.ts";
import { TailCache } from "./tail-cache.ts";
import { Tailer } from "./tailer.ts";

const TAIL_BYTES_MAX = 8 << 20;

/** The log as a worker thread has it: reading, lanes, control. Appending is the owner's. */
export interface AttachedLog extends LogReader, LaneStore {
  readonly control: ControlStore;
  /** Resolves with the reason when committed events can't be read any more. */
  readonly failed: Promise<Error>;
  close(): Promise<void>;
}

/** Attaches a thread to the log that its process has open, by the handle that the owner gave out. */
export async function attachEmbeddedLog(handle: EmbeddedLogHandle): Promise<AttachedLog> {
  const log = new ThreadLog(handle);
  await log.start();
  return log;
}

class ThreadLog extends StoredLanes implements AttachedLog {
  readonly failed: Promise<Error>;
  private readonly failure = Promise.withResolvers<Error>();
  private readonly streams: StreamTable;
  private readonly files: LogFiles;
  private readonly arrivalsHub = new Arrivals();
  private readonly tailer: Tailer;
  private readonly reader: StreamReader;
  private readonly ids = new IdIndex(0);
  private closed: Promise<void> | undefined;

  constructor(handle: EmbeddedLogHandle) {
    const { folder, worker } = handle;
    super(
      new StateStore(folder.state),
      ALL_SLOTS.filter((slot) => slot % worker.count === worker.index),
    );
    const tail = new TailCache(TAIL_BYTES_MAX);
    this.failed = this.failure.promise;
    this.streams = new StreamTable(folder.identity);
    // This thread may wait for the disk: reads at once are the cheapest.
    const progress = new SharedProgress(handle.progress);
    this.files = new LogFiles({ disk: realDisk, folder, wait: true, progress });
    const { streams, arrivalsHub: arrivals } = this;
    this.tailer = new Tailer({
      disk: realDisk,
      folder,
      streams,
      arrivals,
      tail,
      progress,
    });
    this.reader = new StreamReader({ files: this.files, streams, range: this.tailer, tail, progress });
  }

  async start(): Promise<void> {
    this.tailer.start();
    void this.tailer.run().catch((error: Error) => this.failure.resolve(error));
  }

  async read(stream: Stream, from: number, limits: ReadLimits): Promise<LogEntry[]> {
    this.tailer.catchUp();
    return this.reader.read(stream, from, limits);
  }

  arrivals(slots: ReadonlySet<number>, signal: AbortSignal): AsyncIterable<readonly Stream[]> {
    // What is committed by now came before the call.
    this.tailer.catchUp();
    return this.arrivalsHub.watch(slots, signal);
  }

  async seek(stream: Stream, receivedAt: number): Promise<number> {
    this.tailer.catchUp();
    return this.reader.seek(stream, receivedAt);
  }

  async bounds(stream: Stream): Promise<StreamBounds> {
    this.tailer.catchUp();
    return this.reader.bounds(stream);
  }

  /** Without the owner's tables: sidecars are looked up one by one, and what has none is read through. For tools, not for hot paths. */
  async find(tenantId: string, eventId: string): Promise<(Position & { readonly receivedAt: number }) | undefined> {
    this.tailer.catchUp();
    const { files, streams, ids, reader } = this;
    return (
      (await reader.findUnsealed(tenantId, eventId)) ??
      findEvent({ files, streams, ids, range: this.tailer }, tenantId, eventId)
    );
  }

  close(): Promise<void> {
    this.closed ??= this.shutDown();
    return this.closed;
  }

  private async shutDown(): Promise<void> {
    this.arrivalsHub.close();
    this.slotClaims.close();
    this.tailer.close();
    this.files.close();
    await this.state.close();
  }
}
