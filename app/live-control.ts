import type { Clock, Logger } from "../core/environment.ts";
import { readDocument, updateDocument } from "../core/ingestion/control.ts";
import type { ControlStore } from "../core/ingestion/log.ts";

export interface LiveControlOptions {
  readonly control: ControlStore;
  /** Reads what operators have changed and lets it count here; tells when that changes by itself (ms since the epoch). */
  readonly load: () => Promise<number | undefined>;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface LiveControl {
  /** Something was changed here: it counts in this process when this resolves, in the others soon after. */
  changed(): Promise<void>;
  stop(): Promise<void>;
}

const KEY = "control/changes";
/** Others' changes count within this, and a read of the log's backend. */
const POLL_MS = 1_000;

/** Keeps what operators change while PulseGate runs (keys, paused lanes) in step across processes, by one small document. */
export async function followControl(options: LiveControlOptions): Promise<LiveControl> {
  const { control, clock, logger } = options;
  const stopped = new AbortController();
  let seen = (await readDocument(control, KEY)).version;
  let changesAt = await options.load();
  let loading: Promise<void> = Promise.resolve();
  const load = (): Promise<void> => {
    const done = loading.then(async () => {
      changesAt = await options.load();
    });
    loading = done.catch(() => undefined);
    return done;
  };
  const look = async (): Promise<void> => {
    const { version } = await readDocument(control, KEY);
    if (version === seen && clock.now() < (changesAt ?? Number.POSITIVE_INFINITY)) return;
    await load();
    seen = version;
  };
  const loop = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      await clock.sleep(POLL_MS, stopped.signal);
      if (stopped.signal.aborted) return;
      await look().catch((error: unknown) =>
        logger.warn({ error }, "changes of keys and lanes can't be read; trying again"),
      );
    }
  };
  const done = loop();
  return {
    async changed() {
      await updateDocument<{ at: number }>(control, KEY, { change: () => ({ at: clock.now() }) });
      await load();
    },
    async stop() {
      stopped.abort();
      await done;
      await loading;
    },
  };
}
