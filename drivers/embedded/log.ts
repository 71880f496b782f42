import { PulseGateError } from "../../core/canonical/errors.ts";
import type {
  AppendEntry,
  Appended,
  DiskUse,
  Erased,
  LogEntry,
  LaneId,
  Position,
  ReadLimits,
  Stream,
  StreamBounds,
  StreamKey,
} from "../../core/ingestion/log.ts";
import { Appender, type AppendStart } from "./appender.ts";
import { Arrivals } from "./arrivals.ts";
import { Chores } from "./chores.ts";
import { Compaction } from "./compaction.ts";
import type { Disk } from "./disk.ts";
import { DiskMeter, fullAtBytes } from "./disk-meter.ts";
import { LogFiles } from "./files.ts";
import { endErasures, Eraser } from "./eraser.ts";
import { findEvent, type FindSource } from "./find.ts";
import { type LogFolder, shuttingDown } from "./folder.ts";
import { IdIndex } from "./id-index.ts";
import { Intake, type PendingEntry } from "./intake.ts";
import type { Indexed } from "./keeper.ts";
import { startKeeperHere, startKeeperThread } from "./keeper-client.ts";
import { StoredLanes } from "./lane-store.ts";
import type { FolderLock } from "./lock.ts";
import type { EmbeddedLog, EmbeddedLogHandle, EmbeddedLogOptions } from "./options.ts";
import { withQuickWrites } from "./quick-writes.ts";
import { StreamReader } from "./reader.ts";
import { recover, type Recovered } from "./recovery.ts";
import { Repeats } from "./repeats.ts";
import { SEGMENT_HEADER_BYTES } from "./segment-format.ts";
import { SharedProgress } from "./shared.ts";
import { ALL_SLOTS, StateStore } from "./state.ts";
import { StreamTable } from "./streams.ts";
import { seekBytes, storedBytes } from "./sizes.ts";
import { Trimmer } from "./trimmer.ts";

const MIB = 1 << 20;
const CLOSE_WAIT_MS = 1_000;
const PRESSED_SHARE = 0.75;

/** What the log stands on, opened. */
export interface Parts {
  readonly options: EmbeddedLogOptions;
  readonly disk: Disk;
  readonly folder: LogFolder;
  readonly lock: FolderLock;
  readonly state: StateStore;
}

/** The log as the owner of its folder has it. */
export class OwnedLog extends StoredLanes implements EmbeddedLog {
  readonly failed: Promise<PulseGateError>;
  private readonly parts: Parts;
  private readonly windowMs: number;
  private readonly progress = new SharedProgress();
  private readonly arrivalsHub = new Arrivals();
  private readonly streams: StreamTable;
  private readonly ids: IdIndex;
  private readonly files: LogFiles;
  private readonly reader: StreamReader;
  private readonly trimmer: Trimmer;
  private readonly eraser: Eraser;
  /** For looking things up. */
  private readonly sources: FindSource;
  private readonly meter: DiskMeter;
  private readonly compaction: Compaction;
  private readonly failure = Promise.withResolvers<PulseGateError>();
  private readonly closing = new AbortController();
  private dedupReportedAt = Number.NEGATIVE_INFINITY;
  private readonly chores: Chores;
  private appender!: Appender<PendingEntry>;
  private intake!: Intake;
  private closed: Promise<void> | undefined;

  constructor(parts: Parts) {
    super(parts.state, ALL_SLOTS);
    const { options, disk, folder } = parts;
    this.parts = parts;
    this.windowMs = options.windowMs ?? 24 * 3_600_000;
    this.failed = this.failure.promise;
    this.streams = new StreamTable(folder.identity);
    this.ids = new IdIndex(options.dedupBytesMax ?? 64 * MIB);
    this.files = new LogFiles({ disk, folder, wait: false, progress: this.progress });
    this.meter = new DiskMeter({ disk, folder });
    this.sources = { files: this.files, streams: this.streams, ids: this.ids, range: this.progress };
    this.reader = new StreamReader({
      files: this.files,
      streams: this.streams,
      range: this.progress,
      progress: this.progress,
    });
    this.trimmer = new Trimmer({
      disk,
      folder,
      files: this.files,
      progress: this.progress,
      isHeld: () => this.compaction.isWriting,
      isNeeded: ({ number, lastAt }) =>
        !this.isPressed() && lastAt > this.appender.now() - this.windowMs && number >= (this.ids.firstSegment ?? 0),
      removed: (ends) => void this.forgetSettlements(ends),
    });
    const { reader, progress } = this;
    this.chores = this.choresOf(parts);
    const isIndexed = (segment: number): boolean => this.chores.isToIndex(segment);
    this.eraser = new Eraser({
      ...{ disk, folder, state: parts.state, reader, progress, isIndexed },
      scrubbed: (segment, bytes) => this.compaction.erased(segment, bytes),
    });
    this.compaction = this.compactionOf(options);
  }

  private compactionOf({ clock, logger }: EmbeddedLogOptions): Compaction {
    const { progress, eraser, chores, trimmer } = this;
    return new Compaction({
      ...{ clock, logger, progress, eraser },
      marks: () => trimmer.allMarks,
      compact: (request) => chores.compact(request),
      namesSince: () => this.appender.now() - this.windowMs,
      isPressed: () => this.isPressed(),
      compacted: (segment) => this.meter.changed(segment),
      written: () => this.removeTrimmed(),
      failed: (error) => logger.warn({ error }, "segments could not be compacted; it is tried again later"),
    });
  }

  private choresOf({ options, disk, folder }: Parts): Chores {
    const { clock, logger, metrics } = options;
    const { diskBytesMax, filterIdsMax = 4 * MIB } = options;
    const keeping = { folder, filterIdsMax, diskBytesMax, progress: this.progress.memory };
    return new Chores({
      clock,
      logger,
      metrics,
      start: (onReply) =>
        options.disk === undefined
          ? startKeeperThread(keeping, onReply)
          : startKeeperHere({ ...keeping, disk }, onReply),
      prepared: () => this.appender.prepared(),
      prepareFailed: () => this.appender.prepareFailed(),
      indexed: (indexed) => this.indexed(indexed),
      retrying: () => this.removeTrimmed(),
      failed: (error) => this.appender.stop(error),
    });
  }

  async start(): Promise<void> {
    const { disk, folder, state, options } = this.parts;
    const { streams, ids } = this;
    try {
      await endErasures({ disk, folder, state });
      const cleanEnd = state.cleanEnd();
      const recovered = recover({ disk, folder, streams, ids, logger: options.logger, cleanEnd });
      if (cleanEnd !== undefined) await state.clearCleanEnd();
      await this.loadFilters(recovered);
      this.startAppender(recovered.start ?? (await this.firstSegment()), recovered);
    } catch (error) {
      await this.chores.close();
      throw error;
    }
  }

  private async loadFilters({ firstSegment, sidecarThrough }: Recovered): Promise<void> {
    this.progress.firstSegment = firstSegment;
    this.progress.sidecarThrough = sidecarThrough;
    const notBefore = this.parts.options.clock.now() - this.windowMs;
    const filterBytesMax = this.parts.options.dedupBytesMax ?? 64 * MIB;
    const reply = await this.chores.ask({
      type: "load",
      start: { firstSidecar: firstSegment, sidecarThrough, notBefore, filterBytesMax },
    });
    if (reply.type === "loaded") this.ids.load(reply.filters.groups, reply.filters.isShortened);
  }

  private async firstSegment(): Promise<AppendStart> {
    await this.chores.ask({ type: "prepare", segment: 1 });
    return { segment: 1, offset: SEGMENT_HEADER_BYTES, commit: 0, receivedAt: 0 };
  }

  private startAppender(start: AppendStart, recovered: Recovered): void {
    const { options, disk, folder } = this.parts;
    const { clock, metrics } = options;
    this.appender = new Appender<PendingEntry>({
      disk: options.disk ?? withQuickWrites(disk, clock),
      folder,
      clock,
      metrics,
      start,
      commitBytesMax: options.commitBytesMax ?? 4 * MIB,
      events: {
        committed: (entries, end) => this.committed(entries, end),
        rejected: (entries, error) => {
          for (const entry of entries) this.intake.rejected(entry, error);
        },
        sealed: (sealed) => this.chores.index(sealed),
        needed: (segment) => this.chores.prepare(segment),
        failed: (error) => this.fail(error),
      },
    });
    const { streams, ids, files, progress, windowMs } = this;
    this.intake = new Intake({
      streams,
      appender: this.appender,
      repeats: new Repeats({ ids, files, range: progress, windowMs, now: () => this.appender.now() }),
      segmentBytes: folder.identity.segmentBytes,
      pendingEntriesMax: options.pendingEntriesMax ?? 100_000,
      pendingBytesMax: options.pendingBytesMax ?? 64 * MIB,
    });
    progress.publish(start.segment, start.offset);
    if (recovered.nextReady) this.appender.prepared();
    else this.chores.prepare(start.segment + 1);
    for (const sealed of recovered.withoutSidecar) this.chores.index(sealed);
    this.reportDedup();
  }

  private committed(
    entries: readonly PendingEntry[],
    end: { readonly segment: number; readonly offset: number },
  ): void {
    const { ids, streams, arrivalsHub, progress, intake } = this;
    const isWatched = arrivalsHub.isWatched;
    for (const entry of entries) {
      const { stream, segment, frameOffset } = entry;
      stream.end = entry.sequence + 1;
      ids.add(entry.idHi, entry.idLo, segment, frameOffset);
      if (entry.entry.idempotencyKey !== undefined) ids.add(entry.keyHi, entry.keyLo, segment, frameOffset);
      streams.record(stream, {
        segment,
        sequence: entry.sequence,
        bodyOffset: entry.bodyOffset,
        bodyLength: entry.entry.bytes.length,
      });
      if (isWatched) arrivalsHub.note(stream);
    }
    progress.publish(end.segment, end.offset);
    if (isWatched) arrivalsHub.wake();
    for (const entry of entries) intake.committed(entry);
    if (this.parts.options.clock.monotonic() - this.dedupReportedAt > 1000) this.reportDedup();
  }

  private async forgetSettlements(ends: ReadonlyMap<StreamKey, number>): Promise<void> {
    const { state, options } = this.parts;
    try {
      await state.forgetSettlements(ends);
      await this.eraser.alone(() => state.forgetKeys());
    } catch (error) {
      // They only take up room; the next segment that is removed takes them along.
      if (!this.closing.signal.aborted)
        options.logger.warn({ error }, "settlements of trimmed events could not be removed");
    }
  }

  private reportDedup(): void {
    const { clock, metrics } = this.parts.options;
    this.dedupReportedAt = clock.monotonic();
    this.ids.expire({ before: this.appender.now() - this.windowMs, firstSegment: this.progress.firstSegment });
    const since = this.ids.knownSince;
    const windowMs = since === undefined ? this.windowMs : Math.min(this.windowMs, this.appender.now() - since);
    metrics.dedup({ windowSeconds: windowMs / 1000, ids: this.ids.ids, bytes: this.ids.bytes });
  }

  private indexed(indexed: Indexed): void {
    this.ids.sealed(indexed);
    this.progress.sidecarThrough = indexed.segment;
    this.streams.forgetThrough(indexed.segment);
    this.progress.announce();
    this.eraser.indexed();
    this.removeTrimmed();
    this.reportDedup();
  }

  private fail(error: PulseGateError): void {
    this.parts.options.logger.error({ code: error.code, error }, "the ingestion log has failed and takes nothing more");
    this.failure.resolve(error);
  }

  append(entries: readonly AppendEntry[]): Promise<Appended[]> {
    if (this.closed !== undefined) return Promise.reject(shuttingDown());
    return this.intake.append(entries);
  }

  probe(): Promise<void> {
    if (this.closed !== undefined) return Promise.reject(shuttingDown());
    return this.appender.probe();
  }

  read(stream: Stream, from: number, limits: ReadLimits): Promise<LogEntry[]> {
    return this.reader.read(stream, Math.max(from, this.trimmer.markOf(stream)), limits);
  }

  arrivals(slots: ReadonlySet<number>, signal: AbortSignal): AsyncIterable<readonly Stream[]> {
    return this.arrivalsHub.watch(slots, signal);
  }

  async seek(stream: Stream, receivedAt: number): Promise<number> {
    return Math.max(await this.reader.seek(stream, receivedAt), this.trimmer.markOf(stream));
  }

  async bounds(stream: Stream): Promise<StreamBounds> {
    const { first, end } = await this.reader.bounds(stream);
    return { first: Math.min(Math.max(first, this.trimmer.markOf(stream)), end), end };
  }

  async find(tenantId: string, eventId: string): Promise<(Position & { readonly receivedAt: number }) | undefined> {
    const found = await findEvent(this.sources, tenantId, eventId);
    return found !== undefined && found.sequence >= this.trimmer.markOf(found.stream) ? found : undefined;
  }

  async storedBytes(stream: Stream): Promise<number> {
    return storedBytes(this.sources, stream, (await this.bounds(stream)).first);
  }

  async seekBytes(stream: Stream, bytes: number): Promise<number> {
    return Math.max((await this.bounds(stream)).first, await seekBytes(this.sources, stream, bytes));
  }

  passOver(lane: LaneId, before: number, stamp: { readonly at: number; readonly reason: string }): Promise<number> {
    const { end = 0 } = this.streams.find(lane.stream) ?? {};
    return this.parts.state.passOver(lane, Math.min(before, end), stamp);
  }

  async knownStreams(): Promise<readonly Stream[]> {
    return [...this.streams.all()].filter(({ end }) => end > 0).map(({ stream }) => stream);
  }

  async trim(stream: Stream, before: number): Promise<void> {
    const isMore = this.trimmer.mark(stream, before);
    this.removeTrimmed();
    if (isMore) this.compaction.want();
  }

  erase(stream: Stream, sequences: readonly number[], at: number): Promise<Erased> {
    return this.eraser.erase(stream, sequences, at);
  }

  async diskUse(): Promise<DiskUse> {
    const { fullAtBytes } = this;
    const bytesMax = this.parts.options.diskBytesMax;
    return { usedBytes: this.meter.usedBytes(), isFreeing: this.compaction.isUnderWay, bytesMax, fullAtBytes };
  }

  private get fullAtBytes(): number | undefined {
    return fullAtBytes(this.parts.options.diskBytesMax, this.parts.folder);
  }

  /** Storage is short: what has been let go of goes at once, though repeats of it are not recognised any more. */
  private isPressed(): boolean {
    const { fullAtBytes } = this;
    return fullAtBytes !== undefined && this.meter.usedBytes() >= fullAtBytes * PRESSED_SHARE;
  }

  private removeTrimmed(): void {
    try {
      this.trimmer.run();
    } catch (error) {
      this.parts.options.logger.warn({ error }, "a trimmed segment could not be removed; it is tried again later");
    }
  }

  handle(worker: { readonly index: number; readonly count: number }): EmbeddedLogHandle {
    return { folder: this.parts.folder, progress: this.progress.memory, worker };
  }

  close(): Promise<void> {
    this.closed ??= this.shutDown();
    return this.closed;
  }

  private async shutDown(): Promise<void> {
    const { state, lock } = this.parts;
    await this.appender.drained();
    // A sidecar that is made now need not be made up for by the next start; but it is not worth a long wait.
    if (!this.appender.isFailed) await this.chores.indexedOrLate(CLOSE_WAIT_MS);
    this.closing.abort();
    this.chores.stop();
    await this.compaction.close();
    await this.eraser.close();
    try {
      await this.chores.close();
      if (!this.appender.isFailed) await state.putCleanEnd(this.appender.end);
      this.arrivalsHub.close();
      this.slotClaims.close();
      this.appender.close();
      this.files.close();
    } finally {
      await state.close();
      await lock.release();
    }
  }
}
