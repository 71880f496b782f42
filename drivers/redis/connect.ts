import { Cluster, Redis, type RedisOptions } from "ioredis";
import { PulseGateError } from "../../core/canonical/errors.ts";

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
const RETRY_MIN_MS = 50;
const RETRY_MAX_MS = 2_000;
/** A cluster that is moving slots says where to ask, or to try again: nothing was done then. */
const REDIRECTIONS_MAX = 64;
const REDIRECTION_DELAY_MS = 50;

/** Connects and resolves once commands can be sent. Rejects with `log_unavailable` when Redis can't be reached. */
export async function connect(options: ConnectOptions): Promise<Redis | Cluster> {
  const address = parseAddress(options.url);
  const common = commonOptions(options, address);
  const client = make(address, common, options);
  // Told by the commands that fail; without a listener each would be printed.
  client.on("error", () => {});
  try {
    await client.connect();
  } catch (cause) {
    client.disconnect();
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new PulseGateError("log_unavailable", `Redis at ${address.shown} can't be used: ${why}`, { cause });
  }
  return client;
}

function make(address: Address, common: RedisOptions, options: ConnectOptions): Redis | Cluster {
  if (address.kind === "cluster") {
    const { enableOfflineQueue: _queue, ...ofNodes } = common;
    return new Cluster([...address.hosts], {
      lazyConnect: true,
      enableOfflineQueue: true,
      // Connections to nodes are made when first needed: what is not sent yet may wait for them.
      redisOptions: ofNodes,
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
  if (address.kind === "sentinel") {
    return new Redis({
      ...common,
      sentinels: [...address.hosts],
      name: address.name,
      sentinelPassword: options.sentinelPassword,
      sentinelRetryStrategy: retryDelayMs,
      enableTLSForSentinelMode: address.tls,
      sentinelTLS: address.tls ? (options.tls ?? {}) : undefined,
    });
  }
  const [host] = address.hosts;
  return new Redis({ ...common, ...host });
}

function commonOptions(options: ConnectOptions, address: Address): RedisOptions {
  return {
    lazyConnect: true,
    protocol: 2,
    username: options.username ?? address.username,
    password: options.password ?? address.password,
    db: address.database,
    tls: address.tls ? (options.tls ?? {}) : undefined,
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: options.timeoutMs ?? 5_000,
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

interface Address {
  readonly kind: "single" | "sentinel" | "cluster";
  readonly tls: boolean;
  readonly hosts: ReadonlyArray<{ readonly host: string; readonly port: number }>;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
  /** Of the primary, as the sentinels know it. */
  readonly name: string;
  /** Without the password. */
  readonly shown: string;
}

const PATTERN =
  /^(?<scheme>rediss?)(?:\+(?<kind>sentinel|cluster))?:\/\/(?:(?<user>[^:@/]*)(?::(?<password>[^@/]*))?@)?(?<hosts>[^/?#]+)(?:\/(?<path>[^?#]*))?$/;

function parseAddress(url: string): Address {
  const groups = PATTERN.exec(url)?.groups;
  if (groups === undefined)
    throw new Error("expected redis://host:port, rediss://…, redis+sentinel://… or redis+cluster://…");
  const {
    scheme,
    kind = "single",
    user,
    password,
    hosts = "",
    path = "",
  } = groups as Record<string, string | undefined>;
  const parts = path.split("/").filter((part) => part !== "");
  const name = kind === "sentinel" ? (parts.shift() ?? "") : "";
  if (kind === "sentinel" && name === "") throw new Error("expected the primary's name after the sentinels: /NAME");
  const [database = "0", ...rest] = parts;
  if (rest.length > 0 || !/^\d{1,4}$/.test(database))
    throw new Error(`expected a database's number, not "${parts.join("/")}"`);
  if (kind === "cluster" && database !== "0") throw new Error("a cluster has the database 0 alone");
  return {
    kind: kind as Address["kind"],
    tls: scheme === "rediss",
    hosts: hosts.split(",").map((host) => hostOf(host, kind === "sentinel" ? 26_379 : 6_379)),
    username: user === undefined || user === "" ? undefined : decodeURIComponent(user),
    password: password === undefined ? undefined : decodeURIComponent(password),
    database: Number(database),
    name,
    shown: hosts,
  };
}

function hostOf(text: string, portDefault: number): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text);
  if (match === null) throw new Error(`"${text}" is no host:port`);
  return { host: (match[1] ?? match[2]) as string, port: match[3] === undefined ? portDefault : Number(match[3]) };
}
