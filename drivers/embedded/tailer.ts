import { setTimeout as sleep } from "node:timers/promises";
import type { Arrivals } from "./arrivals.ts";
import type { Disk } from "./disk.ts";
import { corrupt, type LogFolder, segmentPath } from "./folder.ts";
import type { SegmentRange } from "./reader.ts";
import { eachFrame } from "./scan.ts";
import { BLOCK_HEADER_BYTES, blockHeaderAt, type BlockHeader, SEGMENT_HEADER_BYTES } from "./segment-format.ts";
import type { SharedProgress } from "./shared.ts";
import { openSidecar, readDirectory } from "./sidecar-reader.ts";
import type { StreamTable } from "./streams.ts";
import type { TailCache } from "./tail-cache.ts";

const READ_BYTES = 1 << 20;
/**
 * Between two wake-ups: each costs both threads as much as some events do, so commits in close
 * succession are followed together. The first after a pause is followed at once, and whoever reads sees all.
 */
const GATHER_MS = 5;

export interface TailerOptions {
  readonly disk: Disk;
  readonly folder: LogFolder;
  readonly progress: SharedProgress;
  readonly streams: StreamTable;
  readonly arrivals: Arrivals;
  readonly tail: TailCache;
}

/**
 * Follows the log from another thread: reads each committed block once, as it appears, and notes what
 * lies where. The appending thread pays one notification per commit for it.
 */
export class Tailer implements SegmentRange {
  private readonly options: TailerOptions;
  private segment = 0;
  private offset = SEGMENT_HEADER_BYTES;
  private commit = 0;
  private file: number | undefined;
  private isClosed = false;
  private through = 0;
  private seen = -1;

  constructor(options: TailerOptions) {
    this.options = options;
  }

  get firstSegment(): number {
    return this.options.progress.firstSegment;
  }

  /** As far as this thread has let go of its own notes. */
  get sidecarThrough(): number {
    return this.through;
  }

  /** Takes up from the newest sidecar and reads all that is committed. */
  start(): void {
    this.loadBase();
    this.catchUp();
  }

  private loadBase(): void {
    const { disk, folder, progress, streams } = this.options;
    for (;;) {
      const through = progress.sidecarThrough;
      if (through === 0) break;
      const sidecar = openSidecar(disk, folder, through);
      // A newer one may have taken its place in this instant.
      if (sidecar === undefined && progress.sidecarThrough !== through) continue;
      if (sidecar === undefined) throw corrupt(folder, through, 0, "its sidecar (.idx) is missing or not intact");
      streams.load(readDirectory(disk, sidecar) ?? []);
      this.commit = sidecar.header.lastCommit;
      disk.close(sidecar.file);
      this.through = through;
      break;
    }
    this.segment = this.through === 0 ? progress.firstSegment : this.through + 1;
  }

  /** Follows until closed. Rejects when what was committed can't be read. */
  async run(): Promise<void> {
    const { progress } = this.options;
    let wokenAt = Number.NEGATIVE_INFINITY;
    while (!this.isClosed) {
      const seen = progress.version;
      this.catchUp();
      await progress.changed(seen);
      const restMs = wokenAt + GATHER_MS - performance.now();
      if (restMs > 0) await sleep(restMs);
      wokenAt = performance.now();
    }
  }

  close(): void {
    this.isClosed = true;
    if (this.file !== undefined) this.options.disk.close(this.file);
    this.file = undefined;
  }

  /** Makes all that is committed readable. */
  catchUp(): void {
    const { progress, streams, arrivals } = this.options;
    const { version } = progress;
    if (this.isClosed || version === this.seen) return;
    this.seen = version;
    const { segment, offset } = progress.end;
    while (this.segment < segment) {
      this.readTo(undefined);
      this.nextSegment();
    }
    this.readTo(offset);
    const through = progress.sidecarThrough;
    // Only once its own position is past them: what is not read yet is not known of any stream.
    if (through > this.through && through < this.segment) {
      streams.forgetThrough(through);
      this.through = through;
    }
    arrivals.wake();
  }

  private nextSegment(): void {
    this.segment++;
    this.offset = SEGMENT_HEADER_BYTES;
    if (this.file !== undefined) this.options.disk.close(this.file);
    this.file = undefined;
  }

  /** Reads blocks up to an offset, or up to where the segment's row of commits ends. */
  private readTo(to: number | undefined): void {
    const { disk, folder, tail } = this.options;
    const end = to ?? folder.identity.segmentBytes;
    let length = READ_BYTES;
    while (this.offset < end) {
      this.file ??= disk.openForRead(segmentPath(folder, this.segment, "seg"));
      length = Math.min(length, end - this.offset);
      const room = tail.room(length);
      const bytes = room ?? Buffer.allocUnsafeSlow(length);
      disk.readSync(this.file, bytes, this.offset);
      const { used, needed } = this.takeBlocks(bytes);
      if (room !== undefined && used > 0) tail.keep(this.segment, this.offset, used);
      this.offset += used;
      length = Math.max(READ_BYTES, needed);
      if (used > 0 || (needed > bytes.length && this.offset + needed <= end)) continue;
      if (to === undefined) return;
      throw corrupt(folder, this.segment, this.offset, "a committed block is not as it was written");
    }
  }

  /** Notes the whole blocks in `bytes`; `needed`: how many bytes the next block wants, 0 if there is none. */
  private takeBlocks(bytes: Buffer): { used: number; needed: number } {
    const { magic } = this.options.folder.identity;
    let at = 0;
    while (at + BLOCK_HEADER_BYTES <= bytes.length) {
      const block = blockHeaderAt(bytes, at, { magic, segment: this.segment, offset: this.offset + at });
      // A block out of the row was given up by the appender; the next segment goes on instead.
      if (block === undefined || block.commit !== this.commit + 1) return { used: at, needed: 0 };
      if (at + block.length > bytes.length) return { used: at, needed: block.length };
      this.note(block, bytes, at);
      at += block.length;
    }
    return { used: at, needed: BLOCK_HEADER_BYTES };
  }

  private note(block: BlockHeader, bytes: Buffer, at: number): void {
    const { streams, arrivals } = this.options;
    this.commit = block.commit;
    const shift = this.offset;
    const { isWatched } = arrivals;
    eachFrame(block, bytes, at, (frame) => {
      const state = streams.ensure(frame.tenantId, frame.partition);
      const { sequence, bodyAt, bodyLength } = frame;
      streams.record(state, { segment: this.segment, sequence, bodyOffset: bodyAt + shift, bodyLength });
      state.end = state.next = sequence + 1;
      if (isWatched) arrivals.note(state);
    });
  }
}
