import { join } from "node:path";
import { type Disk, realDisk } from "./disk.ts";
import type { LogFolder } from "./folder.ts";

/** At this use no segment more is made: one would still fit, and another is kept free for sidecars and compaction. */
export function fullAtBytes(diskBytesMax: number | undefined, { identity }: LogFolder): number | undefined {
  return diskBytesMax === undefined ? undefined : diskBytesMax - 2 * identity.segmentBytes;
}

/** What the log's files take up. A file is asked for its size once: segments and sidecars are written whole. */
export class DiskMeter {
  private readonly disk: Disk;
  private readonly folder: LogFolder;
  private sizes = new Map<string, number>();

  constructor({ disk, folder }: { readonly disk: Disk; readonly folder: LogFolder }) {
    this.disk = disk;
    this.folder = folder;
  }

  usedBytes(): number {
    const { disk, folder } = this;
    const sizes = new Map<string, number>();
    let sum = realDisk.sizeOf(join(folder.state, "data.mdb"));
    for (const name of disk.list(folder.segments)) {
      const size = this.sizes.get(name) ?? disk.sizeOf(join(folder.segments, name));
      // What is being written has no size yet.
      if (!name.endsWith(".tmp")) sizes.set(name, size);
      sum += size;
    }
    this.sizes = sizes;
    return sum;
  }

  /** A segment's files have changed. */
  changed(segment: number): void {
    const number = String(segment).padStart(10, "0");
    for (const name of this.sizes.keys()) if (name.startsWith(number)) this.sizes.delete(name);
  }
}
