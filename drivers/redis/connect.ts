import { Cluster, Redis, type RedisOptions } from "ioredis";
import { PulseGateError } from "../../core/canonical/errors.ts";
import { type Address, parseAddress } from "./address.ts";

export interface ConnectOptions {
  /**
   * `redis://user:password@host:port/database`, `rediss://…` for TLS;
   * `redis+sentinel://user:password@host:port,host:port/NAME/database` asks sentinels for the primary NAME;
   * `redis+cluster://user:password@host:port,host:port` is a cluster. `rediss+…` for TLS.
   */
  readonly url: string;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** Of the sentinels themselves. */
  readonly sentinelPassword?: string | undefined;
  /** PEM texts. Without `ca` the system's authorities are asked. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string } | undefined;
  /** How long an answer may take; 5 seconds. */
  readonly timeoutMs?: number | undefined;
}

const CONNECT_TIMEOUT_MS = 5_000;
/** For sentinels that are asked in turn, and a cluster whose nodes are. */
const OPEN_TIMEOUT_MS = 15_000;
const ANSWER_TIMEOUT_MS = 5_000;
/** A server that says nothing for so long after a command's time is over is left: another may have its place. */
const SILENCE_MS = 500;
const RETRY_MIN_MS = 50;
const RETRY_MAX_MS = 2_000;
/** A cluster that is moving slots says where to ask, or to try again: nothing was done then. */
const REDIRECTIONS_MAX = 64;
const REDIRECTION_DELAY_MS = 50;

/** Connects and resolves once commands can be sent. Rejects with `log_unavailable` when Redis can't be reached. */
export async function connect(options: ConnectOptions): Promise<Redis | Cluster> {
  const address = parseAddress(options.url);
  const common = commonOptions(options, address);
  if (address.kind === "cluster") return opened(clusterOf(address, common), address);
  return opened(serverOf(address, common, options), address);
}

/**
 * A connection to one server that ends when it is cut: to the primary, or in a cluster to any node of `nodes`,
 * where messages come from all. Rejects as `connect`.
 */
export async function connectOnce(
  options: ConnectOptions,
  nodes: ReadonlyArray<{ readonly host: string; readonly port: number }>,
): Promise<Redis> {
  const address = parseAddress(options.url);
  const common = { ...commonOptions(options, address), retryStrategy: () => null, sentinelRetryStrategy: () => null };
  if (address.kind !== "cluster") return opened(serverOf(address, common, options), address);
  const known = nodes.length > 0 ? nodes : address.hosts;
  return opened(new Redis({ ...common, ...known[Math.floor(Math.random() * known.length)] }), address);
}

async function opened<T extends Redis | Cluster>(client: T, address: Address): Promise<T> {
  let fault: unknown;
  const timer = setTimeout(() => client.disconnect(), OPEN_TIMEOUT_MS);
  // Told by the commands that fail; without a listener each would be printed.
  client.on("error", (error) => {
    fault = error;
  });
  try {
    await client.connect();
    return client;
  } catch (cause) {
    client.disconnect();
    // Of a connection that was closed because of a fault, the fault is the news.
    const why = reasonOf([fault, cause].find((error): error is Error => error instanceof Error) ?? cause);
    const speaks = address.tls && /ETIMEDOUT$|^timeout$/.test(why) ? " (does it speak TLS there?)" : "";
    throw new PulseGateError("log_unavailable", `Redis at ${address.shown} can't be used: ${why}${speaks}`, { cause });
  } finally {
    clearTimeout(timer);
  }
}

/** A cluster's client says that it has asked all nodes, and keeps with it what the last of them answered. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return "lastNodeError" in error && error.lastNodeError instanceof Error ? error.lastNodeError.message : error.message;
}

function clusterOf(address: Address, common: RedisOptions): Cluster {
  const { enableOfflineQueue: _queue, retryStrategy: _retry, ...ofNodes } = common;
  return new Cluster([...address.hosts], {
    lazyConnect: true,
    // Connections to nodes are made when first needed: what is not sent yet may wait for them.
    enableOfflineQueue: true,
    redisOptions: ofNodes,
    // A certificate is for the name.
    dnsLookup: (name, callback) => callback(null, name),
    maxRedirections: REDIRECTIONS_MAX,
    retryDelayOnTryAgain: REDIRECTION_DELAY_MS,
    retryDelayOnClusterDown: REDIRECTION_DELAY_MS,
    retryDelayOnMoved: 0,
    // Would send again what was sent already.
    retryDelayOnFailover: 0,
    clusterRetryStrategy: retryDelayMs,
    slotsRefreshTimeout: CONNECT_TIMEOUT_MS,
  });
}

function serverOf(address: Address, common: RedisOptions, options: ConnectOptions): Redis {
  if (address.kind === "sentinel") {
    return new Redis({
      sentinelRetryStrategy: retryDelayMs,
      ...common,
      sentinels: [...address.hosts],
      name: address.name,
      sentinelPassword: options.sentinelPassword,
      enableTLSForSentinelMode: address.tls,
      sentinelTLS: address.tls ? (options.tls ?? {}) : undefined,
    });
  }
  const [host] = address.hosts;
  return new Redis({ ...common, ...host });
}

function commonOptions(options: ConnectOptions, address: Address): RedisOptions {
  const timeoutMs = options.timeoutMs ?? ANSWER_TIMEOUT_MS;
  return {
    lazyConnect: true,
    protocol: 2,
    // One command less that a user needs the right for.
    disableClientInfo: true,
    username: options.username ?? address.username,
    password: options.password ?? address.password,
    db: address.database,
    tls: address.tls ? (options.tls ?? {}) : undefined,
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: timeoutMs,
    socketTimeout: timeoutMs + SILENCE_MS,
    retryStrategy: retryDelayMs,
    enableOfflineQueue: false,
    // Its own subscribing anew is a promise that nobody hears of when the connection is cut again meanwhile.
    autoResubscribe: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    // A demoted primary: connect anew, where the name may lead to the new one. Nothing is sent again.
    reconnectOnError: (error) => (error.message.startsWith("READONLY") ? 1 : false),
  };
}

function retryDelayMs(times: number): number {
  return Math.min(RETRY_MIN_MS * 2 ** Math.min(times, 10), RETRY_MAX_MS);
}
