import { randomUUID } from "node:crypto";
import { type FileHandle, open, rename, stat } from "node:fs/promises";
import { dirname, extname } from "node:path";
import { type CanonicalEvent, definePlugin, encodeEvent, type SinkOutcome, type SinkPlugin } from "../../contract.ts";
import { type Config, config } from "./config.ts";

const NAME = "file_sink";
const VERSION = "1.1.0";

export default definePlugin({
  kind: "sink",
  name: NAME,
  version: VERSION,
  summary: "Appends events to a file, one JSON line for each, on disk before they count as delivered",
  config,
  create: () => new FileSink(),
});

class FileSink implements SinkPlugin {
  readonly name = NAME;
  readonly version = VERSION;
  /** Batches are appended whole; of one that the disk cut short, the front. */
  readonly keepsOrder = true;
  #config!: Config;
  #file: FileHandle | undefined;
  /** Batches go to the file one after another. */
  #last: Promise<unknown> = Promise.resolve();

  async init(options: unknown): Promise<void> {
    this.#config = options as Config;
  }

  async send(event: CanonicalEvent, ctx: { readonly signal: AbortSignal }): Promise<SinkOutcome> {
    const [outcome] = await this.sendBatch([event], ctx);
    return outcome as SinkOutcome;
  }

  async sendBatch(
    events: readonly CanonicalEvent[],
    ctx: { readonly signal: AbortSignal },
  ): Promise<readonly SinkOutcome[]> {
    const delivery = this.#last.then(() => this.#deliver(events, ctx.signal));
    this.#last = delivery.catch(() => {});
    return delivery;
  }

  async #deliver(events: readonly CanonicalEvent[], signal: AbortSignal): Promise<readonly SinkOutcome[]> {
    const outcome = signal.aborted ? CANCELLED : await this.#append(events);
    return events.map(() => outcome);
  }

  async #append(events: readonly CanonicalEvent[]): Promise<SinkOutcome> {
    const lines = Buffer.concat(events.flatMap((event) => [encodeEvent(event), NEWLINE]));
    try {
      const file = await this.#fileFor(lines.length);
      await writeWhole(file, (await isTorn(file)) ? Buffer.concat([NEWLINE, lines]) : lines);
      await file.datasync();
      return { type: "ok" };
    } catch (error) {
      return await this.#failed(error as NodeJS.ErrnoException);
    }
  }

  /** The open file that so many bytes go to. */
  async #fileFor(bytes: number): Promise<FileHandle> {
    const { path } = this.#config;
    // Another thread may have set the file aside, or an operator's logrotate.
    if (this.#file !== undefined && !(await isNamed(this.#file, path))) await this.#letGo();
    this.#file ??= await openForAppend(path);
    if (!(await this.#isFull(this.#file, bytes))) return this.#file;
    await setAside(path);
    await this.#letGo();
    this.#file = await openForAppend(path);
    return this.#file;
  }

  async #isFull(file: FileHandle, bytes: number): Promise<boolean> {
    const { rotate_bytes: bytesMax = Number.POSITIVE_INFINITY, rotate_secs: secsMax } = this.#config;
    const { size, birthtimeMs } = await file.stat();
    if (size === 0) return false;
    const isOld = secsMax !== undefined && Date.now() - birthtimeMs >= secsMax * 1_000;
    return isOld || size + bytes > bytesMax;
  }

  async #letGo(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  /** The file is opened anew: after a failed sync its pages can't be trusted, and the whole batch comes again. */
  async #failed({ code, message }: NodeJS.ErrnoException): Promise<SinkOutcome> {
    await this.#letGo().catch(() => {});
    // A full disk, a missing folder, a closed door: never the fault of an event.
    return { type: "retry", code: code ?? "write_failed", reason: message, unavailable: true };
  }

  async check(): Promise<void> {
    await (await open(this.#config.path, "a", 0o600)).close();
  }

  async close(): Promise<void> {
    await this.#last;
    await this.#letGo();
  }
}

const NEWLINE = Buffer.from("\n");
const CANCELLED: SinkOutcome = {
  type: "retry",
  code: "aborted",
  reason: "the delivery was cancelled",
  unavailable: true,
};

async function isNamed(file: FileHandle, path: string): Promise<boolean> {
  const [mine, named] = await Promise.all([file.stat(), stat(path).catch(() => undefined)]);
  return named !== undefined && mine.ino === named.ino && mine.dev === named.dev;
}

/** For appending only: no other writer's lines can be overwritten. */
async function openForAppend(path: string): Promise<FileHandle> {
  const file = await open(path, "a+", 0o600);
  try {
    // A new name is on disk only once its folder is.
    if ((await file.stat()).size === 0) await syncFolder(dirname(path));
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/**
 * Whether the last line lacks its end: a crash cut it short, or a full disk another thread's. It stays,
 * ended by whoever writes next: cutting it off could take another thread's lines with it.
 */
async function isTorn(file: FileHandle): Promise<boolean> {
  const { size } = await file.stat();
  const { buffer, bytesRead } = await file.read(Buffer.alloc(1), 0, 1, Math.max(0, size - 1));
  return bytesRead === 1 && buffer[0] !== NEWLINE[0];
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** One step, so that whoever looks finds the file whole under one name or under the other. */
async function setAside(path: string): Promise<void> {
  try {
    await rename(path, asideName(path));
  } catch (error) {
    // Another thread was quicker.
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

/** `events.ndjson` becomes `events-2026-11-24T12-00-00.000Z-1f3a9c2e.ndjson`: in order of time, and never one that exists. */
function asideName(path: string): string {
  const extension = extname(path);
  const stem = path.slice(0, path.length - extension.length);
  const time = new Date().toISOString().replaceAll(":", "-");
  return `${stem}-${time}-${randomUUID().slice(0, 8)}${extension}`;
}

/** In one piece, or it fails: what follows a piece could come after another thread's lines. */
async function writeWhole(file: FileHandle, bytes: Buffer): Promise<void> {
  const { bytesWritten } = await file.write(bytes);
  if (bytesWritten < bytes.length)
    throw Object.assign(new Error("the disk took part of the batch alone: is it full?"), { code: "short_write" });
}
