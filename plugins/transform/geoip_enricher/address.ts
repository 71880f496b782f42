import { BlockList, isIPv4, isIPv6 } from "node:net";

/** A list of proxies is never longer; whatever is, is no list of proxies. */
const LENGTH_MAX = 1_024;

/** The special-purpose registries of IANA: addresses that are nowhere in particular. */
const NOWHERE: ReadonlyArray<readonly [string, number]> = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 3],
  ["::", 127],
  ["100::", 64],
  ["2001:db8::", 32],
  ["3fff::", 20],
  ["fc00::", 7],
  ["fe80::", 10],
  ["ff00::", 8],
];

const nowhere = new BlockList();
for (const [address, prefix] of NOWHERE) nowhere.addSubnet(address, prefix, isIPv4(address) ? "ipv4" : "ipv6");

/** The first public address of a text: `1.2.3.4`, `1.2.3.4:80`, `[2001:480::1]:80`, `10.0.0.1, 1.2.3.4`. */
export function publicAddress(text: unknown): string | undefined {
  if (typeof text !== "string" || text.length > LENGTH_MAX) return undefined;
  if (!text.includes(",")) return publicOnly(text);
  for (const part of text.split(",")) {
    const address = publicOnly(part);
    if (address !== undefined) return address;
  }
  return undefined;
}

function publicOnly(part: string): string | undefined {
  const text = withoutPort(part.trim()).replace(/^::ffff:(?=\d+\.)/i, "");
  if (isIPv4(text)) return nowhere.check(text, "ipv4") ? undefined : text;
  if (!isIPv6(text)) return undefined;
  const address = text.split("%")[0] as string;
  return nowhere.check(address, "ipv6") ? undefined : address;
}

function withoutPort(text: string): string {
  const bracketed = /^\[([^\]]*)\](?::\d+)?$/.exec(text);
  if (bracketed !== null) return bracketed[1] as string;
  return /^[^:]*:\d+$/.test(text) ? text.slice(0, text.indexOf(":")) : text;
}
