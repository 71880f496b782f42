import { AdminClient, pathOf, tenantOf } from "./admin-client.ts";
import type { AdminOptions } from "./admin-client.ts";
import { confirm } from "./confirm.ts";
import { Failure } from "./failure.ts";
import { printFields, printJson, printLine, printRows } from "./print.ts";
import type { Row } from "./print.ts";

type TenantOptions = AdminOptions & { readonly tenant?: string };

type TenantRow = Row & { readonly sinks: readonly string[]; readonly transforms: readonly string[] };

/** `tenants list`. */
export async function listTenants(options: AdminOptions): Promise<void> {
  const items = await (await AdminClient.find(options)).all<TenantRow>("/tenants");
  if (options.json === true) printJson({ items });
  else {
    const columns = ["id", "sinks", "transforms", "keys", "partitions"];
    printRows(items.map(withLists), columns, "The configuration names no tenant.");
  }
}

/** `tenants show`: one, with how its sinks do. */
export async function showTenant(id: string, options: AdminOptions): Promise<void> {
  const client = await AdminClient.find(options);
  const tenant = await client.get<TenantRow>(`/tenants${pathOf(id)}`);
  const sinks = await client.all<Row>(`/tenants${pathOf(id)}/sinks`);
  if (options.json === true) {
    printJson({ ...tenant, sinks });
    return;
  }
  printFields(withLists(tenant));
  printLine();
  printRows(sinks, ["sink", "plugin", "breaker", "last_error"], "The tenant has no sinks.");
}

function withLists({ sinks, transforms, ...tenant }: TenantRow): Row {
  return { ...tenant, sinks: sinks.join(", "), transforms: transforms.join(", ") };
}

/** `tenants check-sink`: fails when the sink can't be reached. */
export async function checkSink(sink: string, options: TenantOptions): Promise<void> {
  const client = await AdminClient.find(options);
  const tenant = await tenantOf(client, options.tenant);
  const result = await client.post<{ ok: boolean; reason?: string; duration_ms: number }>(
    `/tenants${pathOf(tenant)}/sinks${pathOf(sink)}/check`,
  );
  if (options.json === true) printJson(result);
  else if (result.ok) printLine(`${tenant}/${sink} can be reached (${result.duration_ms} ms)`);
  if (result.ok) return;
  const next = "see that it runs and that the sink's configuration is right";
  throw new Failure(`${tenant}/${sink} can't be reached`, { why: result.reason ?? "", next });
}

/** `keys list`: never a secret. */
export async function listKeys(options: TenantOptions): Promise<void> {
  const client = await AdminClient.find(options);
  const tenant = await tenantOf(client, options.tenant);
  const items = await client.all<Row>(`/tenants${pathOf(tenant)}/keys`);
  if (options.json === true) printJson({ items });
  else printRows(items, ["id", "state", "origin", "created_at", "created_by", "overlap_ends_at"], "There are no keys.");
}

interface NewKey {
  readonly id: string;
  readonly key: string;
  readonly overlap_ends_at?: string;
}

/** `keys create --tenant`: live at once, nothing goes into the configuration. */
export async function createLiveKey(id: string, options: AdminOptions & { tenant: string }): Promise<void> {
  const client = await AdminClient.find(options);
  printNewKey(await client.post<NewKey>(`/tenants${pathOf(options.tenant)}/keys`, { body: { id } }), options);
}

/** `keys rotate`: a new secret; the old one fades out. */
export async function rotateKey(id: string, options: TenantOptions & { readonly overlap: number }): Promise<void> {
  const client = await AdminClient.find(options);
  const tenant = await tenantOf(client, options.tenant);
  const body = { overlap_seconds: Math.floor(options.overlap / 1_000) };
  printNewKey(await client.post<NewKey>(`/tenants${pathOf(tenant)}/keys${pathOf(id)}/rotate`, { body }), options);
}

function printNewKey(key: NewKey, { json }: AdminOptions): void {
  if (json === true) {
    printJson(key);
    return;
  }
  printLine(`The key, shown only now; give it to the client (X-API-Key):\n\n  ${key.key}\n`);
  const until = key.overlap_ends_at;
  printLine(
    until === undefined ? "It is let in from now on." : `It is let in from now on, the old one until ${until}.`,
  );
}

/** `keys revoke`: asks, since every client that uses it is refused from then on. */
export async function revokeKey(
  id: string,
  options: TenantOptions & { readonly reason?: string; readonly yes?: boolean },
): Promise<void> {
  const client = await AdminClient.find(options);
  const tenant = await tenantOf(client, options.tenant);
  await confirm(`Clients that use the key ${id} of tenant ${tenant} will be refused.`, options.yes === true);
  const { reason } = options;
  const key = await client.post<Row>(`/tenants${pathOf(tenant)}/keys${pathOf(id)}/revoke`, { body: { reason } });
  if (options.json === true) printJson(key);
  else printLine(`the key ${id} of tenant ${tenant} is revoked`);
}
