import { stat } from "node:fs/promises";
import { open, type Reader, type Response } from "maxmind";

export interface DatabaseState {
  /** Absent until the file was read for the first time. */
  readonly reader: Reader<Response> | undefined;
  /** Why the file, as it is now, is not in use. */
  readonly fault: string | undefined;
}

/** One file, in memory once for all who use it in this thread, and read anew when it has changed. */
export class Database {
  readonly path: string;
  readonly #timer: NodeJS.Timeout;
  #state: DatabaseState = { reader: undefined, fault: undefined };
  #users = 0;
  /** What the file was like when it was read last. */
  #seen = "";
  #looking: Promise<void>;

  private constructor(path: string, checkEveryMs: number) {
    this.path = path;
    this.#looking = this.#look();
    // By the clock and not by events: so a rename, a file that comes later and network drives are seen as well.
    this.#timer = setInterval(() => {
      this.#looking = this.#looking.then(() => this.#look());
    }, checkEveryMs);
    this.#timer.unref();
  }

  /** A new object with each change. */
  get state(): DatabaseState {
    return this.#state;
  }

  static readonly #inUse = new Map<string, Database>();

  /** Resolves when the file has been read, or could not be. `checkEveryMs` is that of the first user. */
  static async use(path: string, checkEveryMs: number): Promise<Database> {
    const database = Database.#inUse.get(path) ?? new Database(path, checkEveryMs);
    Database.#inUse.set(path, database);
    database.#users += 1;
    await database.#looking;
    return database;
  }

  release(): void {
    this.#users -= 1;
    if (this.#users > 0) return;
    clearInterval(this.#timer);
    Database.#inUse.delete(this.path);
  }

  /** A file that can't be used leaves the one before it in use. */
  async #look(): Promise<void> {
    try {
      // Before it is read: a change while it is read shows at the next look.
      const { mtimeMs, size, ino } = await stat(this.path);
      const now = `${mtimeMs} ${size} ${ino}`;
      if (now === this.#seen) return;
      this.#seen = now;
      this.#state = { reader: await open(this.path), fault: undefined };
    } catch (error) {
      const fault = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
      if (fault === "ENOENT") this.#seen = "";
      if (fault !== this.#state.fault) this.#state = { reader: this.#state.reader, fault };
    }
  }
}
