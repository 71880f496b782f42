import { type CompactOptions, compactSegment } from "./compact.ts";
import { DiskMeter, fullAtBytes } from "./disk-meter.ts";
import { type Disk, isOutOfSpace } from "./disk.ts";
import { corrupt, listSegments, type LogFolder, publishFile, segmentPath } from "./folder.ts";
import { addToGroup, type FilterGroup, growGroup, readGroup, writeGroup } from "./filters.ts";
import { encodeSegmentHeader } from "./segment-format.ts";
import { SharedProgress } from "./shared.ts";
import { openSidecar, type OpenSidecar, readDirectory, readIdHashes } from "./sidecar-reader.ts";
import { type Sealed, writeSidecar } from "./sidecar-writer.ts";
import { StreamTable } from "./streams.ts";

const FILL_SLICE_BYTES = 1 << 20;

export interface KeeperOptions {
  readonly disk: Disk;
  readonly folder: LogFolder;
  /** One filter covers the ids of consecutive segments up to about this number. */
  readonly filterIdsMax: number;
  /** Of all files of the log; no segment is made beyond it. */
  readonly diskBytesMax?: number | undefined;
  /** Of the log's `SharedProgress`. */
  readonly progress: SharedArrayBuffer;
}

export type CompactRequest = Omit<CompactOptions, "disk" | "folder" | "switching">;

export interface CompactReply {
  /** Undefined: it was not worth it. */
  readonly freedBytes: number | undefined;
}

export interface KeeperStart {
  /**
   * Sidecars are there for the segments from `firstSidecar` to `sidecarThrough`; the last may outlive
   * its segment, and then lies right before the first.
   */
  readonly firstSidecar: number;
  readonly sidecarThrough: number;
  /** Filters older than this need not be loaded. */
  readonly notBefore: number;
  /** Load no more than so many bytes of filters, the newest. */
  readonly filterBytesMax: number;
}

export interface Indexed {
  readonly segment: number;
  readonly group: FilterGroup;
}

export interface LoadedFilters {
  /** Oldest first. */
  readonly groups: readonly FilterGroup[];
  /** There was no room for all that are not too old. */
  readonly isShortened: boolean;
}

/**
 * The chores that must not hold up appends: making segments ahead of need, and sidecars and filters
 * of sealed ones. Every method works at once and throws what the disk throws.
 */
export class Keeper {
  private readonly disk: Disk;
  private readonly folder: LogFolder;
  private readonly filterIdsMax: number;
  private readonly streams: StreamTable;
  private readonly diskBytesMax: number | undefined;
  private readonly meter: DiskMeter;
  private readonly progress: SharedProgress;
  private group: FilterGroup | undefined;
  private before = { lastCommit: 0, lastAt: 0 };

  constructor({ disk, folder, filterIdsMax, diskBytesMax, progress }: KeeperOptions) {
    this.disk = disk;
    this.folder = folder;
    this.filterIdsMax = filterIdsMax;
    this.streams = new StreamTable(folder.identity);
    this.diskBytesMax = diskBytesMax;
    this.meter = new DiskMeter({ disk, folder });
    this.progress = new SharedProgress(progress);
  }

  /** Takes up where the sidecars end; returns the filters of the segments that have one, oldest first. */
  load(start: KeeperStart): LoadedFilters {
    if (start.sidecarThrough === 0) return { groups: [], isShortened: false };
    this.withSidecar(start.sidecarThrough, (sidecar) => {
      this.before = sidecar.header;
      this.streams.load(readDirectory(this.disk, sidecar) ?? []);
    });
    const loaded = this.loadGroups(start);
    this.group = loaded.groups.at(-1);
    return loaded;
  }

  private loadGroups(start: KeeperStart): LoadedFilters {
    const stored = new Set(listSegments(this.disk, this.folder, "flt"));
    for (const first of stored)
      if (first < start.firstSidecar) this.disk.remove(segmentPath(this.folder, first, "flt"));
    let groups: FilterGroup[] = [];
    let isShortened = false;
    for (let segment = start.firstSidecar; segment <= start.sidecarThrough; segment++) {
      const whole = stored.has(segment) ? readGroup(this.disk, this.folder, segment) : undefined;
      if (whole !== undefined && whole.last <= start.sidecarThrough) {
        groups.push(whole);
        segment = whole.last;
      } else {
        this.withSidecar(segment, (sidecar) => {
          if (sidecar.header.lastAt >= start.notBefore) groups = this.addSegment(groups, sidecar);
        });
      }
      while (groups.length > 1 && bytesOf(groups) > start.filterBytesMax) {
        const [oldest] = groups.splice(0, 1);
        isShortened ||= (oldest as FilterGroup).lastAt >= start.notBefore;
      }
    }
    return { groups: groups.filter((group) => group.lastAt >= start.notBefore), isShortened };
  }

  private addSegment(groups: FilterGroup[], sidecar: OpenSidecar): FilterGroup[] {
    const last = groups.at(-1);
    const group = growGroup(last, sidecar.header, this.filterIdsMax);
    readIdHashes(this.disk, sidecar, addToGroup(group));
    if (last !== undefined && group.first === last.first) return [...groups.slice(0, -1), group];
    if (last !== undefined) this.store(last);
    return [...groups, group];
  }

  /** A filter that can't be stored now is made again from the sidecars at the next start. */
  private store(group: FilterGroup): void {
    try {
      writeGroup(this.disk, this.folder, group);
    } catch (error) {
      if (!isOutOfSpace(error)) throw error;
    }
  }

  private withSidecar(segment: number, use: (sidecar: OpenSidecar) => void): void {
    const sidecar = openSidecar(this.disk, this.folder, segment);
    if (sidecar === undefined) throw corrupt(this.folder, segment, 0, "its sidecar (.idx) is not intact");
    try {
      use(sidecar);
    } finally {
      this.disk.close(sidecar.file);
    }
  }

  /**
   * Makes a segment of its full size, every byte written. Slice by slice is synced, so that no large
   * flush stands before the commits that go on meanwhile.
   */
  prepare(segment: number): void {
    const { disk, folder } = this;
    this.checkRoom();
    publishFile(disk, folder, segmentPath(folder, segment, "seg"), (file) => {
      const slice = Buffer.alloc(FILL_SLICE_BYTES);
      const { segmentBytes, magic } = folder.identity;
      for (let at = 0; at < segmentBytes; at += slice.length) {
        disk.writeSync(file, slice.subarray(0, Math.min(slice.length, segmentBytes - at)), at);
        disk.sync(file);
      }
      disk.writeSync(file, encodeSegmentHeader(segment, magic), 0);
    });
  }

  private checkRoom(): void {
    const { diskBytesMax, meter, folder } = this;
    const full = fullAtBytes(diskBytesMax, folder);
    if (full === undefined || meter.usedBytes() <= full) return;
    throw Object.assign(new Error(`the log's files have come to their bound of ${diskBytesMax} bytes`), {
      code: "EDQUOT",
    });
  }

  compact(request: CompactRequest): CompactReply {
    const { disk, folder, progress } = this;
    const path = segmentPath(folder, request.segment, "seg");
    const before = disk.sizeOf(path);
    const switching = (): void => progress.switching();
    if (!compactSegment({ ...request, disk, folder, switching })) return { freedBytes: undefined };
    this.meter.changed(request.segment);
    return { freedBytes: before - disk.sizeOf(path) };
  }

  /** Writes the sidecar of a sealed segment and takes its ids into a filter. In order of segments. */
  index(sealed: Sealed): Indexed {
    const { header, ids } = writeSidecar({
      disk: this.disk,
      folder: this.folder,
      streams: this.streams,
      sealed,
      before: this.before,
    });
    this.before = header;
    const before = this.group;
    const group = growGroup(before, header, this.filterIdsMax);
    const add = addToGroup(group);
    for (let i = 0; i < ids.words.length; i += 3) add(ids.words[i] as number, ids.words[i + 1] as number);
    this.group = group;
    if (before !== undefined && before.first !== group.first) this.store(before);
    return { segment: sealed.segment, group };
  }
}

function bytesOf(groups: readonly FilterGroup[]): number {
  return groups.reduce((sum, group) => sum + group.bits.byteLength, 0);
}
