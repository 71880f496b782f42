import { AdminClient, type AdminOptions } from "./admin-client.ts";
import { printJson, printLine, printRows } from "./print.ts";

interface Storage {
  readonly disk?: { readonly used_bytes: number; readonly full_at_bytes?: number; readonly bytes_max?: number };
}

interface Stored {
  readonly tenant: string;
  readonly events: number;
  readonly bytes: number;
}

/** `storage`: the tenants that take up the most first. */
export async function showStorage(options: AdminOptions & { readonly tenant?: string }): Promise<void> {
  const client = await AdminClient.find(options);
  const { disk } = await client.get<Storage>("/storage?limit=1");
  const all = await client.all<Stored>("/storage", { tenant: options.tenant });
  const items = all.toSorted((a, b) => b.bytes - a.bytes);
  if (options.json === true) return printJson({ items, disk });
  const rows = items.map(({ tenant, events, bytes }) => ({ tenant, events, bytes, mib: mibOf(bytes) }));
  printRows(rows, ["tenant", "events", "bytes", "mib"], "Nothing was ever stored.");
  if (disk !== undefined) printLine(lineOf(disk));
}

function lineOf({ used_bytes, full_at_bytes, bytes_max }: NonNullable<Storage["disk"]>): string {
  const used = `The log's files take up ${mibOf(used_bytes)} MiB`;
  if (full_at_bytes === undefined || bytes_max === undefined) return `${used}; no bound is set (log.disk_bytes_max).`;
  return `${used}; at ${mibOf(full_at_bytes)} of ${mibOf(bytes_max)} MiB nothing more is taken in.`;
}

function mibOf(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}
