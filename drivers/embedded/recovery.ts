import type { Logger } from "../../core/environment.ts";
import { PulseGateError } from "../../core/canonical/errors.ts";
import type { AppendStart } from "./appender.ts";
import type { Disk } from "./disk.ts";
import { corrupt, listSegments, type LogFolder, segmentPath } from "./folder.ts";
import type { IdIndex } from "./id-index.ts";
import { eachFrame, findIntactBlock, firstBlock, lastWritten, scanBlocks, type ScanEnd } from "./scan.ts";
import { isSegmentHeader, SEGMENT_HEADER_BYTES, type FrameView } from "./segment-format.ts";
import { openCompacted, openSidecar, readDirectory } from "./sidecar-reader.ts";
import type { Sealed } from "./sidecar-writer.ts";
import type { CleanEnd } from "./state.ts";
import type { StreamTable } from "./streams.ts";

export interface Recovered {
  /** Undefined for a log that has no segment yet. */
  readonly start: AppendStart | undefined;
  readonly firstSegment: number;
  readonly sidecarThrough: number;
  /** Sealed segments that still need a sidecar, oldest first. */
  readonly withoutSidecar: readonly Sealed[];
  /** The segment after the last is there already. */
  readonly nextReady: boolean;
}

export interface RecoverySource {
  readonly disk: Disk;
  readonly folder: LogFolder;
  readonly streams: StreamTable;
  readonly ids: IdIndex;
  readonly logger: Logger;
  readonly cleanEnd: CleanEnd | undefined;
}

/**
 * Finds out how a log stands: loads what the newest sidecar knows, reads the segments that have none,
 * and cuts off a torn tail. Rejects with `log_corrupt`, before anything is changed, when something
 * that was acknowledged is missing or not as it was written.
 */
export function recover(source: RecoverySource): Recovered {
  const { disk, folder } = source;
  const segments = listSegments(disk, folder, "seg");
  const first = segments[0];
  if (first === undefined) return startEmpty(source);
  segments.forEach((segment, i) => {
    if (segment !== first + i) throw corrupt(folder, first + i, 0, "the file is missing, but there are later ones");
  });
  const base = loadBase(source, segments);
  const unread = segments.filter((segment) => segment > base.sidecarThrough);
  checkReadable(source, unread);
  const scanned = new Scanner(source, base).scan(unread);
  checkCleanEnd(source, scanned.start);
  for (const tail of scanned.tails) cutTail(source, tail);
  return {
    start: scanned.start,
    firstSegment: first,
    sidecarThrough: base.sidecarThrough,
    withoutSidecar: scanned.sealed,
    nextReady: segments.includes(scanned.start.segment + 1),
  };
}

function startEmpty({ disk, folder, cleanEnd }: RecoverySource): Recovered {
  if (cleanEnd !== undefined || listSegments(disk, folder, "idx").length > 0) {
    throw corrupt(folder, cleanEnd?.segment ?? 1, 0, "the log has been written to, but its segments are missing");
  }
  return { start: undefined, firstSegment: 1, sidecarThrough: 0, withoutSidecar: [], nextReady: false };
}

interface Base {
  readonly sidecarThrough: number;
  readonly commit: number;
  readonly receivedAt: number;
}

/** Loads the newest sidecar of the unbroken row that begins at the oldest segment, or right before it. */
function loadBase(source: RecoverySource, segments: readonly number[]): Base {
  const { disk, folder, streams } = source;
  const first = segments[0] as number;
  let through = first - 1;
  while (segments.includes(through + 1) && hasSidecar(source, through + 1)) through++;
  if (through === 0) return { sidecarThrough: 0, commit: 0, receivedAt: 0 };
  const sidecar = openSidecar(disk, folder, through);
  if (sidecar === undefined)
    throw corrupt(
      folder,
      first,
      0,
      `the sidecar of segment ${through}, which holds the ends of all streams, is missing or not intact`,
    );
  try {
    const directory = readDirectory(disk, sidecar);
    if (directory === undefined)
      throw corrupt(
        folder,
        through,
        0,
        "the directory of streams in its sidecar (.idx) is not intact; remove the sidecar to have it made again",
      );
    streams.load(directory);
    return { sidecarThrough: through, commit: sidecar.header.lastCommit, receivedAt: sidecar.header.lastAt };
  } finally {
    disk.close(sidecar.file);
  }
}

function hasSidecar({ disk, folder }: RecoverySource, segment: number): boolean {
  const sidecar = openSidecar(disk, folder, segment);
  if (sidecar !== undefined) disk.close(sidecar.file);
  return sidecar !== undefined;
}

/** What was compacted has gaps in its streams: only the sidecars before it tell that nothing is missing. */
function checkReadable({ disk, folder }: RecoverySource, unread: readonly number[]): void {
  for (const segment of unread.slice(1)) {
    const sidecar = openCompacted(disk, folder, segment);
    if (sidecar === undefined) continue;
    disk.close(sidecar.file);
    const [first = segment] = unread;
    const path = segmentPath(folder, first, "idx");
    throw new PulseGateError(
      "log_corrupt",
      `${path} is missing or damaged, and can't be made again, since segment ${segment} behind it was compacted. Nothing was changed. Put this one file back from a backup or a snapshot of the disk, of any time since it was written (it never changes), and start again; without one, restore the data folder. Do not delete segments: acknowledged events lie in them.`,
    );
  }
}

interface Tail {
  readonly segment: number;
  readonly end: number;
}

/** Reads the segments without sidecars: checks that nothing is missing, and notes what lies where. */
class Scanner {
  readonly source: RecoverySource;
  private commit: number;
  private receivedAt: number;
  private readonly base: Base;

  constructor(source: RecoverySource, base: Base) {
    this.source = source;
    this.base = base;
    this.commit = base.commit;
    this.receivedAt = base.receivedAt;
  }

  scan(segments: readonly number[]): { start: AppendStart; sealed: Sealed[]; tails: Tail[] } {
    const firstCommits = segments.map((segment) => this.withFile(segment, (scan) => firstBlock(scan)?.commit));
    const last = firstCommits.findLastIndex((commit) => commit !== undefined);
    const ends = segments.map((segment, i) => {
      const next = firstCommits.slice(i + 1).find((commit) => commit !== undefined);
      return { segment, end: this.withFile(segment, () => this.scanSegment(segment, next)) };
    });
    const active = ends[Math.max(last, 0)] ?? this.nothingScanned();
    return {
      start: { segment: active.segment, offset: active.end, commit: this.commit, receivedAt: this.receivedAt },
      sealed: ends.slice(0, Math.max(last, 0)),
      tails: ends.slice(Math.max(last, 0)),
    };
  }

  private nothingScanned(): never {
    throw corrupt(
      this.source.folder,
      this.base.sidecarThrough + 1,
      0,
      "the file is missing, but the segment before it is sealed",
    );
  }

  private withFile<T>(segment: number, use: (scan: Parameters<typeof firstBlock>[0]) => T): T {
    const { disk, folder } = this.source;
    const file = disk.openForRead(segmentPath(folder, segment, "seg"));
    try {
      const { segmentBytes, magic } = folder.identity;
      const head = Buffer.alloc(SEGMENT_HEADER_BYTES);
      disk.readSync(file, head, 0);
      if (!isSegmentHeader(head, segment, magic) || disk.size(file) !== segmentBytes) {
        throw corrupt(folder, segment, 0, "its header or its size is not that of a segment of this log");
      }
      return use({ disk, file, segment, magic, to: segmentBytes });
    } finally {
      disk.close(file);
    }
  }

  /** `nextCommit`: the first of the segments behind, if any of them has one. Blocks from it on were given up here. */
  private scanSegment(segment: number, nextCommit: number | undefined): number {
    return this.withFile(segment, (scan) => {
      const whole = { ...scan, from: SEGMENT_HEADER_BYTES, verify: true };
      const result = scanBlocks(whole, (block, bytes, at, offset) => {
        if (nextCommit !== undefined && block.commit >= nextCommit) return false;
        if (block.commit !== this.commit + 1)
          throw corrupt(this.source.folder, segment, offset, `commit ${this.commit + 1} is missing`);
        this.commit = block.commit;
        this.receivedAt = block.receivedAt;
        eachFrame(block, bytes, at, (frame) => this.addFrame(frame, segment, offset - at));
      });
      this.checkEnd(result, whole, nextCommit);
      return result.end;
    });
  }

  private checkEnd(result: ScanEnd, scan: Parameters<typeof findIntactBlock>[0], nextCommit: number | undefined): void {
    const { folder } = this.source;
    if (nextCommit === undefined) {
      // Writes are one at a time: an intact block behind a damaged one was written after that was acknowledged.
      const later = findIntactBlock({ ...scan, from: result.end });
      if (later === undefined) return;
      throw corrupt(
        folder,
        scan.segment,
        result.end,
        `a block is not intact, but an intact one follows at byte ${later}`,
      );
    }
    const isSealedHere = this.commit === nextCommit - 1;
    if (!isSealedHere && result.reason !== "unwritten" && result.reason !== "end") {
      throw corrupt(folder, scan.segment, result.end, "a block is not intact, but later segments hold newer ones");
    }
  }

  private addFrame(frame: FrameView, segment: number, shift: number): void {
    const { streams, ids, folder } = this.source;
    const state = streams.ensure(frame.tenantId, frame.partition);
    const { sequence } = frame;
    const offset = frame.at + shift;
    if (sequence !== state.end)
      throw corrupt(
        folder,
        segment,
        offset,
        `stream ${state.key} goes on with sequence ${sequence} instead of ${state.end}`,
      );
    streams.record(state, { segment, sequence, bodyOffset: frame.bodyAt + shift, bodyLength: frame.bodyLength });
    state.end = state.next = sequence + 1;
    const { hash } = streams;
    hash.digest(state.tenant.eventIds, frame.eventId);
    ids.add(hash.hi, hash.lo, segment, offset);
    const key = frame.idempotencyKey;
    if (key === undefined) return;
    hash.digest(state.tenant.keys, key);
    ids.add(hash.hi, hash.lo, segment, offset);
  }
}

function checkCleanEnd({ folder, cleanEnd }: RecoverySource, start: AppendStart): void {
  if (cleanEnd === undefined) return;
  if (cleanEnd.segment === start.segment && cleanEnd.offset === start.offset) return;
  throw corrupt(
    folder,
    start.segment,
    start.offset,
    `the log ends here, but it was closed at byte ${cleanEnd.offset} of segment ${cleanEnd.segment}`,
  );
}

/** Zeroes what a write that never finished left behind: nothing of it was acknowledged. */
function cutTail({ disk, folder, logger }: RecoverySource, { segment, end }: Tail): void {
  const path = segmentPath(folder, segment, "seg");
  const file = disk.openForAppend(path);
  try {
    const { segmentBytes, magic } = folder.identity;
    const written = lastWritten({ disk, file, segment, magic, from: end, to: segmentBytes, verify: false });
    if (written === end) return;
    disk.writeSync(file, Buffer.alloc(written - end), end);
    disk.sync(file);
    logger.warn({ path, offset: end, bytes: written - end }, "cut off a torn write that was never acknowledged");
  } catch (cause) {
    throw new PulseGateError("log_unavailable", `The torn tail of ${path} can't be cut off.`, { cause });
  } finally {
    disk.close(file);
  }
}
