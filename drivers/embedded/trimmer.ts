import { type Stream, type StreamKey, streamKey } from "../../core/ingestion/log.ts";
import type { Disk } from "./disk.ts";
import type { LogFiles } from "./files.ts";
import { type LogFolder, segmentPath } from "./folder.ts";
import type { SharedProgress } from "./shared.ts";
import { readDirectory } from "./sidecar-reader.ts";

export interface TrimmerOptions {
  readonly disk: Disk;
  readonly folder: LogFolder;
  readonly files: LogFiles;
  readonly progress: SharedProgress;
  /** Nothing may be removed now. */
  readonly isHeld: () => boolean;
  /** Deduplication still needs the events of this segment to tell a repeat from a conflict. */
  readonly isNeeded: (segment: { readonly number: number; readonly lastAt: number }) => boolean;
  /** A segment is gone: with it all entries before these ends, by stream. */
  readonly removed: (ends: ReadonlyMap<StreamKey, number>) => void;
}

/**
 * Removes sealed segments, oldest first, once every stream has let go of all it has in them and
 * deduplication needs them no more. Marks are kept in memory only: they are told again.
 */
export class Trimmer {
  private readonly options: TrimmerOptions;
  private readonly marks = new Map<string, number>();
  /** Ends of the streams in the segment that was looked at last. */
  private readonly ends = new Map<StreamKey, number>();
  /** What keeps the oldest segment: only when this stream's mark has passed it is it worth looking again. */
  private blocker: { readonly segment: number; readonly key: string; readonly end: number } | undefined;

  constructor(options: TrimmerOptions) {
    this.options = options;
  }

  /** What is let go of, whether it is still there or not. */
  markOf(stream: Stream): number {
    return this.marks.get(streamKey(stream)) ?? 0;
  }

  get allMarks(): ReadonlyMap<StreamKey, number> {
    return this.marks;
  }

  /** Whether that is more than before. */
  mark(stream: Stream, before: number): boolean {
    const key = streamKey(stream);
    if (before <= (this.marks.get(key) ?? 0)) return false;
    this.marks.set(key, before);
    return true;
  }

  /** Removes what can go; the oldest segment removed and all before it. */
  run(): void {
    const { progress, isHeld } = this.options;
    while (!isHeld() && progress.firstSegment <= progress.sidecarThrough && this.canGo(progress.firstSegment))
      this.remove(progress.firstSegment);
  }

  private canGo(segment: number): boolean {
    const { files, disk, isNeeded } = this.options;
    const { blocker } = this;
    if (blocker?.segment === segment && (this.marks.get(blocker.key) ?? 0) < blocker.end) return false;
    const sidecar = files.sidecar(segment);
    if (sidecar === undefined || isNeeded({ number: segment, lastAt: sidecar.header.lastAt })) return false;
    this.ends.clear();
    const directory = readDirectory(disk, sidecar);
    // What can't be read may hold events that nobody has settled.
    if (directory === undefined) return false;
    for (const { key, first, count } of directory) {
      if (count === 0) continue;
      const end = first + count;
      if ((this.marks.get(key) ?? 0) < end) {
        this.blocker = { segment, key, end };
        return false;
      }
      this.ends.set(key, end);
    }
    return true;
  }

  private remove(segment: number): void {
    const { disk, folder, files, progress } = this.options;
    // First: what can't be removed is still there, for readers and for the next try.
    disk.remove(segmentPath(folder, segment, "seg"));
    progress.firstSegment = segment + 1;
    files.drop(segment);
    // The newest sidecar is the record of all streams' ends and stays until there is a newer one.
    for (const number of [segment - 1, segment]) {
      if (number > 0 && number < progress.sidecarThrough) disk.remove(segmentPath(folder, number, "idx"));
    }
    disk.syncFolder(folder.segments);
    this.options.removed(new Map(this.ends));
  }
}
