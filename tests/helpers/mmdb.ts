import { isIPv4 } from "node:net";

export interface Network {
  /** `81.2.69.0/24` or `2001:480::/32`; later ones go before earlier ones that hold them. */
  readonly network: string;
  readonly data: Readonly<Record<string, unknown>>;
}

type Child = number | { readonly at: number } | undefined;
type TreeNode = [Child, Child];

const RECORD_BITS = 28;
const SEPARATOR_BYTES = 16;

/** A MaxMind DB file (format 2.0) that holds these networks: as small as a test wants it. */
export function mmdb(networks: readonly Network[], buildEpoch: number | bigint = 1_740_830_400): Buffer {
  const nodes: TreeNode[] = [[undefined, undefined]];
  const data: Buffer[] = [];
  let bytes = 0;
  for (const { network, data: record } of networks) {
    insert(nodes, bitsOf(network), { at: bytes });
    data.push(encoded(record));
    bytes += data.at(-1)?.length ?? 0;
  }
  const metadata = {
    binary_format_major_version: 2,
    binary_format_minor_version: 0,
    build_epoch: buildEpoch,
    database_type: "Test",
    description: { en: "for tests" },
    ip_version: 6,
    languages: ["en"],
    node_count: nodes.length,
    record_size: RECORD_BITS,
  };
  const tree = Buffer.concat(nodes.map((node) => treeRecord(node, nodes.length)));
  const mark = Buffer.from("\xab\xcd\xefMaxMind.com", "latin1");
  return Buffer.concat([tree, Buffer.alloc(SEPARATOR_BYTES), ...data, mark, encoded(metadata)]);
}

/** IPv4 lies within IPv6, at ::/96. */
function bitsOf(network: string): string {
  const [address = "", prefix = "0"] = network.split("/");
  const bits = isIPv4(address)
    ? "0".repeat(96) +
      address
        .split(".")
        .map((part) => bitsOfNumber(Number(part), 8))
        .join("")
    : groupsOf(address)
        .map((group) => bitsOfNumber(Number.parseInt(group, 16), 16))
        .join("");
  return bits.slice(0, Number(prefix) + (isIPv4(address) ? 96 : 0));
}

function groupsOf(address: string): string[] {
  const [head = "", tail] = address.split("::");
  const [left, right] = [head, tail ?? ""].map((part) => part.split(":").filter((group) => group !== ""));
  const missing = 8 - (left?.length ?? 0) - (right?.length ?? 0);
  return [...(left ?? []), ...new Array<string>(missing).fill("0"), ...(right ?? [])];
}

function bitsOfNumber(value: number, width: number): string {
  return value.toString(2).padStart(width, "0");
}

function insert(nodes: TreeNode[], bits: string, leaf: { readonly at: number }): void {
  let node = nodes[0] as TreeNode;
  for (const bit of bits.slice(0, -1)) {
    const side = Number(bit);
    let next = node[side];
    if (typeof next !== "number") {
      // What held all of this network goes on to hold the rest of it.
      next = nodes.push([next, next]) - 1;
      node[side] = next;
    }
    node = nodes[next] as TreeNode;
  }
  node[Number(bits.at(-1))] = leaf;
}

function treeRecord(node: TreeNode, count: number): Buffer {
  const [left, right] = node.map((child) => {
    if (child === undefined) return count;
    return typeof child === "number" ? child : count + SEPARATOR_BYTES + child.at;
  }) as [number, number];
  const record = Buffer.alloc((RECORD_BITS * 2) / 8);
  record.writeUIntBE(left & 0xffffff, 0, 3);
  record[3] = ((left >>> 24) << 4) | (right >>> 24);
  record.writeUIntBE(right & 0xffffff, 4, 3);
  return record;
}

const TYPE = { text: 2, double: 3, uint32: 6, map: 7, uint64: 9, list: 11, boolean: 14 } as const;

function encoded(value: unknown): Buffer {
  if (typeof value === "string") {
    const text = Buffer.from(value);
    return Buffer.concat([control(TYPE.text, text.length), text]);
  }
  if (typeof value === "boolean") return control(TYPE.boolean, value ? 1 : 0);
  if (typeof value === "number") return encodedNumber(value);
  if (typeof value === "bigint") {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(value);
    return Buffer.concat([control(TYPE.uint64, bytes.length), bytes]);
  }
  if (Array.isArray(value)) return Buffer.concat([control(TYPE.list, value.length), ...value.map(encoded)]);
  const entries = Object.entries(value as object);
  return Buffer.concat([control(TYPE.map, entries.length), ...entries.flat().map(encoded)]);
}

function encodedNumber(value: number): Buffer {
  const isInteger = Number.isInteger(value) && value >= 0;
  const bytes = Buffer.alloc(isInteger ? 4 : 8);
  if (isInteger) bytes.writeUInt32BE(value);
  else bytes.writeDoubleBE(value);
  return Buffer.concat([control(isInteger ? TYPE.uint32 : TYPE.double, bytes.length), bytes]);
}

/** Types above 7 have a byte of their own; sizes from 29 on as well. */
function control(type: number, size: number): Buffer {
  const head = [(type > 7 ? 0 : type) << 5, ...(type > 7 ? [type - 7] : [])];
  if (size < 29) head[0] = (head[0] as number) | size;
  else {
    if (size > 284) throw new RangeError("the writer for tests knows short values only");
    head[0] = (head[0] as number) | 29;
    head.push(size - 29);
  }
  return Buffer.from(head);
}
