import { AdminClient, pathOf, tenantOf } from "./admin-client.ts";
import type { AdminOptions } from "./admin-client.ts";
import { confirm } from "./confirm.ts";
import { EXIT, Failure } from "./failure.ts";
import { printJson, printLine } from "./print.ts";

export interface EraseOptions extends AdminOptions {
  readonly tenant?: string;
  readonly subject?: string;
  readonly filter?: string;
  readonly from?: string;
  readonly to?: string;
  readonly reason: string;
  readonly yes?: boolean;
}

interface Erased {
  readonly selected: number;
  readonly erased: number;
  readonly dead_letters: number;
}

/** `events erase`: counts, asks, takes the payloads out for good. */
export async function eraseEvents(ids: readonly string[], options: EraseOptions): Promise<void> {
  const selection = selectionOf(ids, options);
  const client = await AdminClient.find(options);
  const tenant = await tenantOf(client, options.tenant);
  const path = `/tenants${pathOf(tenant)}/events/erase`;
  const body = { ...selection, reason: options.reason };
  const { selected } = await client.post<Erased>(path, { body: { ...body, dry_run: true } });
  const what = `The payloads of ${selected} event(s) of tenant ${tenant} are to be erased for good.`;
  if (selected > 0) await confirm(what, options.yes === true);
  const result = await client.post<Erased>(path, { body });
  if (options.json === true) printJson(result);
  else printLine(`erased ${result.erased} event(s) and ${result.dead_letters} dead letter(s)`);
}

function selectionOf(ids: readonly string[], { subject, filter, from, to }: EraseOptions): Record<string, unknown> {
  if (ids.length > 0) {
    if ((subject ?? filter ?? from ?? to) === undefined) return { ids };
    throw new Failure("ids are named alone", { exitCode: EXIT.usage, next: "leave the other options out" });
  }
  if ((subject ?? filter) === undefined)
    throw new Failure("which events?", { exitCode: EXIT.usage, next: "name ids, --subject, or --filter" });
  return {
    subject: subject === undefined ? undefined : subjectOf(subject),
    filter,
    received_from: from,
    received_to: to,
  };
}

/** `customer.email=alice@example.com`: the value is JSON where it is a number or a string in quotes, else text. */
function subjectOf(text: string): { path: string[]; equals: string | number } {
  const at = text.indexOf("=");
  if (at < 1)
    throw new Failure(`${text} is no subject`, {
      exitCode: EXIT.usage,
      next: "write it as customer.email=a@example.com",
    });
  return { path: text.slice(0, at).split("."), equals: valueOf(text.slice(at + 1)) };
}

function valueOf(text: string): string | number {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "number" || typeof value === "string" ? value : text;
  } catch {
    return text;
  }
}
