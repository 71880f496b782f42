import { readFile, stat } from "node:fs/promises";
import type { Clock } from "../core/environment.ts";
import type { LoadedConfig, ParseResult } from "./parse.ts";
import type { Problem } from "./problems.ts";

export interface WatchOptions {
  readonly file: string;
  /** Reads and checks the file as a whole, e.g. `() => loadConfig({ file, … })`. */
  readonly load: () => Promise<ParseResult>;
  /** A valid configuration; the next is not read before this resolves. A rejection counts as a refusal. */
  readonly onConfig: (config: LoadedConfig) => Promise<void>;
  /** What is wrong with the file as it is now; the running configuration stays. */
  readonly onRefused: (problems: readonly Problem[]) => void;
  readonly clock: Clock;
  /** The text that is running (`LoadedConfig.source.text`): a change since it was read counts at once. */
  readonly runningText?: string;
  /** How often the file is looked at. */
  readonly intervalMs?: number;
}

export interface ConfigWatch {
  /** Reads the file now, as SIGHUP does; resolves when its content was accepted or refused. */
  reload(): Promise<void>;
  /** Stops listening and waits for a reload under way. */
  close(): Promise<void>;
}

const INTERVAL_MS = 500;
/** An editor may write in several steps: what stands there after this time is read. */
const SETTLE_MS = 50;

/**
 * Follows a configuration file: saved in place, replaced by renaming, or swapped behind a symbolic link
 * (as Kubernetes mounts do); also on SIGHUP, which is the way to read `${file:…}` anew. Reloads never
 * overlap, and the last change always counts. The path is looked at twice a second: notifications of
 * the system belong to an inode and miss the swap of a link above it. Resolves once it watches.
 */
export async function watchConfig(options: WatchOptions): Promise<ConfigWatch> {
  const reloader = createReloader(options);
  const stop = new AbortController();
  const intervalMs = options.intervalMs ?? INTERVAL_MS;
  // Taken before this resolves: a change right after it is a change.
  let seen = await stampOf(options.file);
  const follow = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      await options.clock.sleep(intervalMs, stop.signal);
      const now = await stampOf(options.file);
      // Gone for a moment, between an editor's delete and its write.
      if (now === undefined || now === seen) continue;
      await options.clock.sleep(SETTLE_MS, stop.signal);
      const settled = await stampOf(options.file);
      if (settled === undefined || stop.signal.aborted) continue;
      seen = settled;
      await reloader.reload();
    }
  };
  const onHangup = (): void => {
    void reloader.reload();
  };
  process.on("SIGHUP", onHangup);
  if (options.runningText !== undefined && (await textOf(options.file)) !== options.runningText)
    await reloader.reload();
  const following = follow();
  return {
    reload: () => reloader.reload(),
    close: async () => {
      stop.abort();
      process.off("SIGHUP", onHangup);
      await following;
      await reloader.idle();
    },
  };
}

/** Differs when the file was written or replaced; undefined while there is none. */
async function stampOf(file: string): Promise<string | undefined> {
  const found = await stat(file, { bigint: true }).catch(() => undefined);
  return found && `${found.dev}/${found.ino}/${found.size}/${found.mtimeNs}`;
}

async function textOf(file: string): Promise<string | undefined> {
  return readFile(file, "utf8").catch(() => undefined);
}

function createReloader({ file, load, onConfig, onRefused }: WatchOptions) {
  let running: Promise<void> = Promise.resolve();
  let waiting: Promise<void> | undefined;
  const once = async (): Promise<void> => {
    waiting = undefined;
    const result = await load();
    if (!result.ok) {
      onRefused(result.problems);
      return;
    }
    try {
      await onConfig(result.config);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      onRefused([{ file, line: 1, column: 1, message: `the new configuration could not be applied: ${message}` }]);
    }
  };
  return {
    /** One that has not begun yet serves all who ask meanwhile: it will read what they have seen. */
    reload: (): Promise<void> => {
      waiting ??= running = running.then(once);
      return waiting;
    },
    idle: (): Promise<void> => running,
  };
}
