import { PulseGateError } from "../../core/canonical/errors.ts";
import type { Disk } from "./disk.ts";
import { type LogFolder, segmentPath } from "./folder.ts";
import type { SharedProgress } from "./shared.ts";
import { openSidecar, type OpenSidecar, type ReadAt } from "./sidecar-reader.ts";

const OPEN_MAX = 128;
const TRIES_MAX = 10;

/** Segments and sidecars opened for reading, the least recently used closed when there are many. */
export class LogFiles {
  readonly readAt: ReadAt;
  readonly folder: LogFolder;
  private readonly disk: Disk;
  private readonly segments = new Map<number, number>();
  private readonly sidecars = new Map<number, OpenSidecar>();
  /** Closed once no read is under way that may still use them. */
  private readonly retired: number[] = [];
  private readonly progress: Pick<SharedProgress, "compactions" | "switched">;
  private reading = 0;
  private seen = 0;

  /** `wait: true` reads at once, on a thread that may wait for the disk. */
  constructor(options: {
    disk: Disk;
    folder: LogFolder;
    wait: boolean;
    progress: Pick<SharedProgress, "compactions" | "switched">;
  }) {
    this.disk = options.disk;
    this.folder = options.folder;
    this.progress = options.progress;
    const { disk } = options;
    this.readAt = options.wait
      ? (file, target, position) => {
          complete(disk.readSync(file, target, position), target);
        }
      : async (file, target, position) => complete(await disk.read(file, target, position), target);
  }

  /**
   * Runs `read` with the files that it opens held open until it is done. Again when a segment was compacted
   * meanwhile: then what it found, or failed at, may be of two files that do not belong together.
   */
  async use<T>(read: () => Promise<T>): Promise<T> {
    for (let tries = 1; tries <= TRIES_MAX; tries++) {
      if (this.progress.compactions !== this.seen) await this.renew();
      const { seen } = this;
      this.reading++;
      try {
        const result = await read();
        if (this.progress.compactions === seen) return result;
      } catch (error) {
        if (this.progress.compactions === seen) throw error;
      } finally {
        this.reading--;
        if (this.reading === 0) for (const file of this.retired.splice(0)) this.disk.close(file);
      }
    }
    throw new PulseGateError("log_unavailable", "Segments were compacted while this was read; read again.");
  }

  /** Changes when places that were looked up before may not hold any more. */
  get version(): number {
    return this.seen;
  }

  private async renew(): Promise<void> {
    await this.progress.switched();
    this.seen = this.progress.compactions;
    for (const number of new Set([...this.segments.keys(), ...this.sidecars.keys()])) this.drop(number);
  }

  /** Undefined when the segment is gone. */
  segment(number: number): number | undefined {
    const known = this.segments.get(number);
    if (known !== undefined) return refresh(this.segments, number, known);
    try {
      const file = this.disk.openForRead(segmentPath(this.folder, number, "seg"));
      this.segments.set(number, file);
      this.evict(this.segments, (evicted) => evicted);
      return file;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }

  /** Undefined when there is no intact one. */
  sidecar(number: number): OpenSidecar | undefined {
    const known = this.sidecars.get(number);
    if (known !== undefined) return refresh(this.sidecars, number, known);
    const sidecar = openSidecar(this.disk, this.folder, number);
    if (sidecar === undefined) return undefined;
    this.sidecars.set(number, sidecar);
    this.evict(this.sidecars, (evicted) => evicted.file);
    return sidecar;
  }

  private evict<T>(open: Map<number, T>, fileOf: (opened: T) => number): void {
    if (open.size <= OPEN_MAX) return;
    const [oldest] = open;
    if (oldest === undefined) return;
    open.delete(oldest[0]);
    this.retired.push(fileOf(oldest[1]));
  }

  /** Lets go of removed segments. */
  drop(number: number): void {
    const segment = this.segments.get(number);
    if (segment !== undefined) this.retired.push(segment);
    this.segments.delete(number);
    const sidecar = this.sidecars.get(number);
    if (sidecar !== undefined) this.retired.push(sidecar.file);
    this.sidecars.delete(number);
  }

  close(): void {
    for (const number of new Set([...this.segments.keys(), ...this.sidecars.keys()])) this.drop(number);
    if (this.reading === 0) for (const file of this.retired.splice(0)) this.disk.close(file);
  }
}

function refresh<T>(open: Map<number, T>, number: number, value: T): T {
  open.delete(number);
  open.set(number, value);
  return value;
}

function complete(got: number, target: Buffer): void {
  if (got < target.length) throw new Error(`the file ends ${target.length - got} bytes early`);
}
