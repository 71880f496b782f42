import { PulseGateError } from "../../core/canonical/errors.ts";

export interface Address {
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

/** Reads a URL as `ConnectOptions.url` has it. Throws `malformed_request`, never with the URL: it may hold a password. */
export function parseAddress(url: string): Address {
  try {
    return read(url);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new PulseGateError("malformed_request", `the URL of Redis is wrong: ${why}`, { cause });
  }
}

function read(url: string): Address {
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
  if (match === null) throw new Error("expected host:port, or several with commas between them");
  return { host: (match[1] ?? match[2]) as string, port: match[3] === undefined ? portDefault : Number(match[3]) };
}
