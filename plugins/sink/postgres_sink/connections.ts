import pg from "pg";

export interface Connections {
  /**
   * Runs `use` on a connection of its own. When the signal aborts first, rejects with an `Unanswered`
   * and cuts the connection, because nobody knows what it is in the middle of.
   */
  use<T>(signal: AbortSignal, use: (client: pg.PoolClient) => Promise<T>): Promise<T>;
  /** The last of the sharers closes for all. Resolves when every connection is given back and ended. */
  close(): Promise<void>;
}

/** The server said nothing in time; what it did is unknown. */
export class Unanswered extends Error {
  readonly code: "timeout" | "aborted";
  constructor(signal: AbortSignal) {
    const late = signal.reason?.name === "TimeoutError";
    super(late ? "the database did not answer in time" : "the delivery was cancelled");
    this.name = "Unanswered";
    this.code = late ? "timeout" : "aborted";
  }
}

const shared = new Map<string, { readonly pool: pg.Pool; users: number }>();

/** Sinks with the same settings share one pool: a thousand tenants must not need a thousand connections. */
export function openConnections(settings: pg.PoolConfig, onIdleError: (error: Error) => void): Connections {
  const key = JSON.stringify(settings);
  const entry = shared.get(key) ?? { pool: createPool(settings, onIdleError), users: 0 };
  shared.set(key, entry);
  entry.users += 1;
  let open = true;
  return {
    use: (signal, use) => useClient(entry.pool, signal, use),
    async close() {
      if (!open) return;
      open = false;
      entry.users -= 1;
      if (entry.users > 0) return;
      shared.delete(key);
      await entry.pool.end();
    },
  };
}

function createPool(settings: pg.PoolConfig, onIdleError: (error: Error) => void): pg.Pool {
  const pool = new pg.Pool(settings);
  // An idle connection that breaks is replaced on demand; unhandled, it would end the process.
  pool.on("error", onIdleError);
  return pool;
}

async function useClient<T>(
  pool: pg.Pool,
  signal: AbortSignal,
  use: (client: pg.PoolClient) => Promise<T>,
): Promise<T> {
  const client = await acquire(pool, signal);
  // While the connection is ours nobody else listens; the query rejects with the same error.
  const onError = () => {};
  client.on("error", onError);
  let usable = false;
  try {
    const result = await unlessAborted(signal, use(client));
    usable = true;
    return result;
  } catch (error) {
    usable = isAnswer(error);
    throw error;
  } finally {
    if (usable) client.removeListener("error", onError);
    else cut(client);
    client.release(!usable);
  }
}

async function acquire(pool: pg.Pool, signal: AbortSignal): Promise<pg.PoolClient> {
  const connecting = pool.connect();
  try {
    return await unlessAborted(signal, connecting);
  } catch (error) {
    // A connection that comes after the deadline goes back unused.
    connecting.then(
      (client) => client.release(),
      () => {},
    );
    throw error;
  }
}

async function unlessAborted<T>(signal: AbortSignal, result: Promise<T>): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(new Unanswered(signal));
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([result, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    // Whichever lost the race must not count as an unhandled rejection.
    aborted.catch(() => {});
    result.catch(() => {});
  }
}

/** The server answered the statement with an error: the connection is as good as before. */
function isAnswer(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.severity === "ERROR";
}

/** Ending it politely would wait for a server that may never speak again. */
function cut(client: pg.PoolClient): void {
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
}
