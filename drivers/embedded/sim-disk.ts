import type { Disk } from "./disk.ts";

const SECTOR_BYTES = 512;

interface SimFile {
  /** What reads see. */
  live: Buffer;
  /** What surely survives a power loss. */
  durable: Buffer;
}

interface PendingWrite {
  readonly file: SimFile;
  readonly bytes: Buffer;
  readonly position: number;
  readonly done: (error: NodeJS.ErrnoException | null, written: number) => void;
}

/** What a write should come to instead of success: an errno name, after so many bytes were written. */
export interface WriteFault {
  readonly code: string;
  readonly written: number;
}

/**
 * A disk in memory for tests: it can fail, fill up, hold writes back, and lose power. On a power loss
 * each sector that was not synced survives or not, by chance, and so does each change of the folder.
 */
export class SimDisk implements Disk {
  /** Asked before each durable write. */
  onWrite: (() => WriteFault | undefined) | undefined;
  /** Set: every operation that needs new space fails with ENOSPC. */
  isFull = false;
  /** Set: writes wait for `releaseWrites`. */
  holdsWrites = false;
  /** How many durable writes have completed. */
  completed = 0;
  private entries = new Map<string, SimFile>();
  private durableEntries = new Map<string, SimFile>();
  private readonly open = new Map<number, SimFile>();
  private nextFile = 3;
  private isDead = false;
  private pending: PendingWrite[] = [];

  makeFolder(): void {}

  list(folder: string): string[] {
    this.mustLive();
    const names = [...this.entries.keys()].filter((path) => path.startsWith(`${folder}/`));
    return names
      .map((path) => path.slice(folder.length + 1))
      .filter((name) => !name.includes("/"))
      .sort();
  }

  syncFolder(folder: string): void {
    this.mustLive();
    for (const path of new Set([...this.entries.keys(), ...this.durableEntries.keys()])) {
      if (!path.startsWith(`${folder}/`)) continue;
      const file = this.entries.get(path);
      if (file === undefined) this.durableEntries.delete(path);
      else this.durableEntries.set(path, file);
    }
  }

  rename(from: string, to: string): void {
    this.mustLive();
    const file = this.entries.get(from);
    if (file === undefined) throw fault("ENOENT");
    this.entries.delete(from);
    this.entries.set(to, file);
  }

  remove(path: string): void {
    this.mustLive();
    this.entries.delete(path);
  }

  create(path: string): number {
    this.mustLive();
    if (this.isFull) throw fault("ENOSPC");
    const file: SimFile = { live: Buffer.alloc(0), durable: Buffer.alloc(0) };
    this.entries.set(path, file);
    return this.opened(file);
  }

  openForAppend(path: string): number {
    return this.openForRead(path);
  }

  openForRead(path: string): number {
    this.mustLive();
    const file = this.entries.get(path);
    if (file === undefined) throw fault("ENOENT");
    return this.opened(file);
  }

  private opened(file: SimFile): number {
    this.open.set(this.nextFile, file);
    return this.nextFile++;
  }

  close(file: number): void {
    if (!this.open.delete(file)) throw fault("EBADF");
  }

  get openFiles(): number {
    return this.open.size;
  }

  size(file: number): number {
    return this.fileOf(file).live.length;
  }

  sizeOf(path: string): number {
    this.mustLive();
    return this.entries.get(path)?.live.length ?? 0;
  }

  sync(file: number): void {
    const synced = this.fileOf(file);
    synced.durable = Buffer.from(synced.live);
  }

  writeSync(file: number, bytes: Uint8Array, position: number): void {
    const written = this.fileOf(file);
    if (this.isFull && position + bytes.length > written.live.length) throw fault("ENOSPC");
    written.live = spliced(written.live, bytes, position);
  }

  write(file: number, bytes: Uint8Array, position: number, done: PendingWrite["done"]): void {
    if (this.isDead) {
      setImmediate(() => done(fault("EIO"), 0));
      return;
    }
    // The bytes are taken as they are now: the caller reuses its buffer only once the write is done.
    this.pending.push({ file: this.fileOf(file), bytes: Buffer.from(bytes), position, done });
    if (!this.holdsWrites) setImmediate(() => this.completeOne());
  }

  releaseWrites(): void {
    this.holdsWrites = false;
    for (let i = this.pending.length; i > 0; i--) this.completeOne();
  }

  private completeOne(): void {
    const write = this.pending.shift();
    if (write === undefined) return;
    const failing = this.onWrite?.();
    const bytes = failing === undefined ? write.bytes : write.bytes.subarray(0, failing.written);
    write.file.live = spliced(write.file.live, bytes, write.position);
    write.file.durable = spliced(write.file.durable, bytes, write.position);
    if (failing !== undefined) write.done(fault(failing.code), 0);
    else {
      this.completed++;
      write.done(null, bytes.length);
    }
  }

  readSync(file: number, target: Uint8Array, position: number): number {
    return this.fileOf(file).live.copy(target, 0, position, position + target.length);
  }

  async read(file: number, target: Uint8Array, position: number): Promise<number> {
    return this.readSync(file, target, position);
  }

  /** What the platter holds after the power went, by chance; this disk answers nothing but EIO from now on. */
  losePower(random: () => number): SimDisk {
    const after = new SimDisk();
    for (const write of this.pending) write.file.live = spliced(write.file.live, write.bytes, write.position);
    const paths = new Set([...this.entries.keys(), ...this.durableEntries.keys()]);
    for (const path of paths) {
      const kept = (random() < 0.5 ? this.entries : this.durableEntries).get(path);
      if (kept === undefined) continue;
      const content = torn(kept, random);
      const file = { live: content, durable: Buffer.from(content) };
      after.entries.set(path, file);
      after.durableEntries.set(path, file);
    }
    this.isDead = true;
    const pending = this.pending;
    this.pending = [];
    for (const write of pending) write.done(fault("EIO"), 0);
    return after;
  }

  /** The bytes of a file, to be damaged by a test; all paths that end so. */
  contentOf(ending: string): Buffer {
    for (const [path, file] of this.entries) if (path.endsWith(ending)) return file.live;
    throw fault("ENOENT");
  }

  get paths(): string[] {
    return [...this.entries.keys()].sort();
  }

  removeEnding(ending: string): void {
    for (const path of this.entries.keys()) if (path.endsWith(ending)) this.entries.delete(path);
  }

  private fileOf(file: number): SimFile {
    this.mustLive();
    const found = this.open.get(file);
    if (found === undefined) throw fault("EBADF");
    return found;
  }

  private mustLive(): void {
    if (this.isDead) throw fault("EIO");
  }
}

function spliced(content: Buffer, bytes: Uint8Array, position: number): Buffer {
  const end = position + bytes.length;
  const grown = end > content.length ? Buffer.concat([content, Buffer.alloc(end - content.length)]) : content;
  grown.set(bytes, position);
  return grown;
}

function torn({ live, durable }: SimFile, random: () => number): Buffer {
  const content = Buffer.alloc(random() < 0.5 ? live.length : durable.length);
  durable.copy(content);
  for (let at = 0; at < content.length; at += SECTOR_BYTES) {
    const end = Math.min(at + SECTOR_BYTES, content.length);
    const isSame = live.subarray(at, end).equals(durable.subarray(at, end));
    if (!isSame && random() < 0.5) live.copy(content, at, at, end);
  }
  return content;
}

function fault(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code} (simulated)`), { code });
}
