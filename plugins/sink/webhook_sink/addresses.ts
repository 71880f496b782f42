import { BlockList, isIP } from "node:net";

/**
 * Not reachable over the public internet, or not meant to be: the IANA special-purpose registry
 * (RFC 6890 and its updates), multicast, and the metadata services of clouds that live outside it.
 */
const NOT_PUBLIC_V4 = [
  "0.0.0.0/8", // this network
  "10.0.0.0/8", // private
  "100.64.0.0/10", // carrier-grade NAT; Alibaba's metadata
  "127.0.0.0/8", // loopback
  "168.63.129.16/32", // Azure's metadata
  "169.254.0.0/16", // link-local; metadata of AWS, Google, Azure and others
  "172.16.0.0/12", // private
  "192.0.0.0/24", // protocol assignments; Oracle's metadata
  "192.0.2.0/24", // documentation
  "192.88.99.0/24", // 6to4 relays
  "192.168.0.0/16", // private
  "198.18.0.0/15", // benchmarking
  "198.51.100.0/24", // documentation
  "203.0.113.0/24", // documentation
  "224.0.0.0/4", // multicast
  "240.0.0.0/4", // reserved, broadcast
];

/** All that is global unicast; what lies outside it (loopback, unique-local, link-local, multicast) is refused as a whole. */
const GLOBAL_V6 = ["2000::/3"];
const NOT_PUBLIC_V6 = [
  "2001::/23", // protocol assignments: Teredo, benchmarking, ORCHID
  "2001:db8::/32", // documentation
  "2002::/16", // 6to4: wraps any IPv4 address
  "3fff::/20", // documentation
];
/** The last 32 bits are an IPv4 address, which decides: IPv4-mapped, and NAT64 as RFC 6052 has it. */
const WRAPS_V4 = ["::ffff:0:0/96", "64:ff9b::/96"];

const notPublicV4 = listOf(NOT_PUBLIC_V4);
const globalV6 = listOf(GLOBAL_V6);
const notPublicV6 = listOf(NOT_PUBLIC_V6);
const wrapsV4 = listOf(WRAPS_V4);

/** Whether a server at this address is open to everyone anyway, so that reaching it gives nothing away. */
export function isPublic(address: string): boolean {
  const plain = address.replace(/%.*$/, "");
  const family = isIP(plain);
  if (family === 4) return !notPublicV4.check(plain, "ipv4");
  if (family !== 6) return false;
  if (wrapsV4.check(plain, "ipv6")) return isPublic(wrappedV4(plain));
  return globalV6.check(plain, "ipv6") && !notPublicV6.check(plain, "ipv6");
}

function wrappedV4(address: string): string {
  // A URL writes every IPv6 address in one form, in hexadecimal to the end.
  const groups = new URL(`http://[${address}]`).hostname.slice(1, -1).split(":");
  const [high = 0, low = 0] = groups.slice(-2).map((group) => Number.parseInt(group || "0", 16));
  return [high >> 8, high & 255, low >> 8, low & 255].join(".");
}

/** What an operator lets a sink reach beside the public internet. */
export interface Allowed {
  /** The name is listed: whatever it resolves to is let through. */
  host(name: string): boolean;
  address(address: string): boolean;
}

const HOST = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,62})?(\.[a-z0-9_]([a-z0-9_-]{0,62})?)*$/i;
const CIDR = /^([0-9a-f:.]+)\/(\d{1,3})$/i;

/** An address, a network in CIDR form, or a host name. */
export function isAllowEntry(entry: string): boolean {
  if (isIP(entry) !== 0) return true;
  const [, address = "", bits = ""] = CIDR.exec(entry) ?? [];
  const family = isIP(address);
  if (family !== 0) return Number(bits) <= (family === 4 ? 32 : 128);
  // The last part of a name is never a number: that would be a mistyped address.
  return HOST.test(entry) && !/(^|\.)\d+$/.test(entry);
}

export function allowedBy(entries: readonly string[]): Allowed {
  const networks = listOf(entries.filter((entry) => CIDR.test(entry) || isIP(entry) !== 0));
  const hosts = new Set(entries.map((entry) => entry.toLowerCase()));
  return {
    host: (name) => hosts.has(name.toLowerCase()),
    address: (address) => {
      const plain = address.replace(/%.*$/, "");
      const family = isIP(plain);
      return family !== 0 && networks.check(plain, family === 4 ? "ipv4" : "ipv6");
    },
  };
}

function listOf(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = "", bits] = network.split("/");
    const family = isIP(address) === 4 ? "ipv4" : "ipv6";
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return list;
}
