import type { PoolConfig } from "pg";

export interface Target {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly applicationName?: string | undefined;
  readonly tls: "disable" | "require" | "no-verify";
}

/** What libpq and Node's drivers take; a mode that would fall back to plain text is taken as `require`. */
const SSL_MODES: Readonly<Record<string, Target["tls"]>> = {
  disable: "disable",
  prefer: "require",
  require: "require",
  "verify-ca": "require",
  "verify-full": "require",
  "no-verify": "no-verify",
};

/** Throws on a URL of another form; never with the URL in the message, because it holds a password. */
export function parseTarget(text: string): Target {
  const url = URL.parse(text);
  if (url === null || !/^postgres(ql)?:$/.test(url.protocol)) throw new Error("not a postgres:// URL");
  const host = decodeURIComponent(url.hostname).replace(/^\[(.+)\]$/, "$1");
  const user = decodeURIComponent(url.username);
  if (host === "" || user === "") throw new Error("the URL needs a host and a user");
  for (const name of url.searchParams.keys()) {
    if (name !== "sslmode" && name !== "application_name") throw new Error(`unknown parameter ${name}`);
  }
  const tls = SSL_MODES[url.searchParams.get("sslmode") ?? "disable"];
  if (tls === undefined) throw new Error("unknown sslmode");
  return {
    host,
    port: url.port === "" ? 5432 : Number(url.port),
    user,
    password: decodeURIComponent(url.password),
    database: decodeURIComponent(url.pathname.slice(1)) || user,
    applicationName: url.searchParams.get("application_name") ?? undefined,
    tls,
  };
}

interface TargetOptions {
  readonly url?: string | undefined;
  readonly host?: string | undefined;
  readonly port: number;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  readonly database?: string | undefined;
  readonly pool_size: number;
  readonly statement_timeout_ms: number;
  readonly connect_timeout_ms: number;
  readonly application_name: string;
  readonly tls?:
    | { readonly mode: "disable" | "require"; readonly ca?: string | undefined; readonly reject_unauthorized: boolean }
    | undefined;
}

/** Everything stated, so that neither PG* variables nor ~/.pgpass of the machine have a say. */
export function poolConfigOf(options: TargetOptions): PoolConfig {
  const target = options.host === undefined ? parseTarget(options.url as string) : targetOfFields(options);
  return {
    host: target.host,
    port: target.port,
    user: target.user,
    password: target.password,
    database: target.database,
    application_name: target.applicationName ?? options.application_name,
    ssl: sslOf(target, options.tls),
    max: options.pool_size,
    statement_timeout: options.statement_timeout_ms,
    connectionTimeoutMillis: options.connect_timeout_ms,
    keepAlive: true,
  };
}

function targetOfFields(options: TargetOptions): Target {
  const user = options.user as string;
  return {
    host: options.host as string,
    port: options.port,
    user,
    password: options.password ?? "",
    database: options.database ?? user,
    tls: "disable",
  };
}

function sslOf(target: Target, tls: TargetOptions["tls"]): PoolConfig["ssl"] {
  if ((tls?.mode ?? target.tls) === "disable") return false;
  return {
    rejectUnauthorized: tls?.reject_unauthorized ?? target.tls !== "no-verify",
    ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
  };
}
