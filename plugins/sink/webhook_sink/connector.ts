import dns from "node:dns";
import { isIP, type LookupFunction } from "node:net";
import { buildConnector } from "undici";
import { type Allowed, isPublic } from "./addresses.ts";

/** The endpoint's address is one that a webhook must not reach. */
export class AddressRefused extends Error {
  readonly code = "address_refused";
  constructor(host: string, address: string) {
    const what = host === address ? host : `${host} resolves to ${address}, which`;
    super(`${what} is not a public address; if this is meant, list it under \`allow\``);
    this.name = "AddressRefused";
  }
}

/** As `dns.lookup` with all addresses asked for. */
export type Resolve = (
  host: string,
  options: dns.LookupAllOptions,
  callback: (error: NodeJS.ErrnoException | null, addresses: dns.LookupAddress[]) => void,
) => void;

export interface ConnectorOptions {
  readonly allowed: Allowed;
  readonly timeoutMs: number;
  /** Certificate authorities in PEM form, instead of Node's. */
  readonly ca?: string | undefined;
}

/**
 * Opens connections to allowed addresses only. Name and address are judged in the same step that
 * connects, so that a name can't resolve to one address for the judge and to another for the connection.
 */
export function guardedConnector({ allowed, timeoutMs, ca }: ConnectorOptions): buildConnector.connector {
  const lookup = guardedLookup(allowed);
  const trust = ca === undefined ? {} : { ca };
  const connect = buildConnector({ lookup, timeout: timeoutMs, allowH2: false, ...trust });
  return (options, callback) => {
    const host = options.hostname.replace(/^\[(.+)\]$/, "$1");
    // A literal address is connected to without a lookup.
    if (isIP(host) === 0 || allowed.host(host) || isAllowed(allowed, host)) connect(options, callback);
    else callback(new AddressRefused(host, host), null);
  };
}

/** Gives the addresses of a name; fails if even one of them is not allowed. */
export function guardedLookup(allowed: Allowed, resolve: Resolve = dns.lookup): LookupFunction {
  return (host, options, callback) => {
    resolve(host, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, []);
      const refused = allowed.host(host) ? undefined : addresses.find(({ address }) => !isAllowed(allowed, address));
      if (refused !== undefined) return callback(new AddressRefused(host, refused.address), []);
      const [first] = addresses;
      if (options.all === true || first === undefined) callback(null, addresses);
      else callback(null, first.address, first.family);
    });
  };
}

function isAllowed(allowed: Allowed, address: string): boolean {
  return isPublic(address) || allowed.address(address);
}
