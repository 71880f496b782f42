import { PulseGateError } from "../../core/canonical/errors.ts";
import type { Clock } from "../../core/environment.ts";
import type { LogReader, Stream } from "../../core/ingestion/log.ts";
import { slotOf, streamKey } from "../../core/ingestion/log.ts";

export interface TailOptions {
  readonly reader: Pick<LogReader, "read" | "bounds" | "arrivals">;
  readonly clock: Clock;
  readonly tenantId: string;
  readonly partitions: number;
  /** Only events of this type. */
  readonly type?: string | undefined;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/** Each holds a reader of the log. */
const TAILS_MAX = 16;
const HEARTBEAT_MS = 15_000;
const READ = { entries: 100, bytes: 256 * 1024 };

let running = 0;

/**
 * A tenant's events from now on, one line each, across its partitions; an empty line when nothing came for
 * a while. Reads no faster than the lines are taken. Rejects with `overloaded` when many run already.
 */
export async function tail(options: TailOptions): Promise<AsyncIterable<string>> {
  if (running >= TAILS_MAX) throw new PulseGateError("overloaded", `${TAILS_MAX} clients follow events already`);
  running += 1;
  const { reader, tenantId, partitions, signal } = options;
  const leave = (): void => {
    running -= 1;
  };
  if (signal.aborted) leave();
  else signal.addEventListener("abort", leave, { once: true });
  const streams = Array.from({ length: partitions }, (_, partition): Stream => ({ tenantId, partition }));
  // Listening begins before the ends are asked for: what comes in between is told by both, and read once.
  const arrivals = reader.arrivals(new Set(streams.map(slotOf)), signal);
  const next = new Map<string, number>();
  for (const stream of streams) next.set(streamKey(stream), (await reader.bounds(stream)).end);
  return linesOf(options, arrivals, next);
}

async function* linesOf(
  options: TailOptions,
  arrivals: AsyncIterable<readonly Stream[]>,
  next: Map<string, number>,
): AsyncIterable<string> {
  const waiting = arrivals[Symbol.asyncIterator]();
  let pending = waiting.next();
  // The head of the answer goes out with its first bytes: a client that waits for events must not wait for it.
  yield "\n";
  while (!options.signal.aborted) {
    const woken = await orHeartbeat(options, pending);
    if (woken === "heartbeat") {
      yield "\n";
      continue;
    }
    if (woken.done === true) return;
    pending = waiting.next();
    for (const stream of woken.value) if (next.has(streamKey(stream))) yield* newLines(options, stream, next);
  }
}

async function orHeartbeat<T>({ clock, signal }: TailOptions, pending: Promise<T>): Promise<T | "heartbeat"> {
  const woken = new AbortController();
  const heartbeat = clock.sleep(HEARTBEAT_MS, AbortSignal.any([signal, woken.signal])).then(() => "heartbeat" as const);
  try {
    return await Promise.race([pending, heartbeat]);
  } finally {
    woken.abort();
  }
}

async function* newLines(
  { reader, type, signal }: TailOptions,
  stream: Stream,
  next: Map<string, number>,
): AsyncIterable<string> {
  const mark = type === undefined ? undefined : `,"event_type":${JSON.stringify(type)},"payload":`;
  const key = streamKey(stream);
  while (!signal.aborted) {
    const entries = await reader.read(stream, next.get(key) ?? 0, READ);
    let lines = "";
    for (const { sequence, bytes, erasedAt } of entries) {
      next.set(key, sequence + 1);
      if (erasedAt !== undefined) continue;
      // No string of the head can hold this mark: quotes are escaped there.
      if (mark === undefined || bytes.includes(mark)) lines += `${bytes.toString("utf8")}\n`;
    }
    if (lines !== "") yield lines;
    if (entries.length === 0) return;
  }
}
