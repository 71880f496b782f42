import { PulseGateError } from "../../../core/canonical/errors.ts";
import { NAME_PATTERN } from "../../../core/canonical/event.ts";
import { loadStoredKeys, withStoredKeys } from "../../../core/ingestion/stored-keys.ts";
import type { StoredKeys } from "../../../core/ingestion/stored-keys.ts";
import type { TenantConfig } from "../../../core/ingestion/revision.ts";
import { z } from "zod";
import { PAGE, pageOf } from "../input.ts";
import { operation, param } from "../operation.ts";
import type { AdminPorts } from "../ports.ts";
import { pageSchema, SinkCheck, SinkSchema, TenantView } from "../schemas.ts";

const listTenants = operation({
  id: "list_tenants",
  method: "GET",
  path: "/tenants",
  summary: "List the tenants that the running configuration names",
  role: "viewer",
  scope: "tenant",
  query: z.strictObject(PAGE),
  response: pageSchema(TenantView),
  handle: async ({ tenantId, query }, ports) => {
    const stored = await loadStoredKeys(ports.control);
    const own = ports.revision().tenants.filter((tenant) => tenantId === undefined || tenant.id === tenantId);
    const page = pageOf(own, (tenant) => tenant.id, query);
    return { body: { ...page, items: page.items.map((tenant) => viewOf(tenant, stored, ports.clock.now())) } };
  },
});

const showTenant = operation({
  id: "show_tenant",
  method: "GET",
  path: "/tenants/{tenant}",
  summary: "Show one tenant",
  role: "viewer",
  scope: "tenant",
  response: TenantView,
  errors: ["not_found"],
  handle: async (call, ports) => {
    const tenant = findTenant(ports, param(call, "tenant"));
    return { body: viewOf(tenant, await loadStoredKeys(ports.control), ports.clock.now()) };
  },
});

const listSinks = operation({
  id: "list_sinks",
  method: "GET",
  path: "/tenants/{tenant}/sinks",
  summary: "List a tenant's sinks and how they do",
  role: "viewer",
  scope: "tenant",
  query: z.strictObject(PAGE),
  response: pageSchema(SinkSchema),
  errors: ["not_found"],
  handle: async (call, ports) => {
    const tenant = findTenant(ports, param(call, "tenant"));
    const status = (await ports.workers.status()).filter((lane) => lane.tenantId === tenant.id);
    const page = pageOf(tenant.sinks, (sink) => sink.id, call.query);
    const items = page.items.map(({ id, name }) => {
      const lane = status.find((one) => one.sink === id);
      return { tenant: tenant.id, sink: id, plugin: name, breaker: lane?.breaker, last_error: lane?.lastError };
    });
    return { body: { ...page, items } };
  },
});

const CHECK_TIMEOUT_MS = 10_000;

const checkSink = operation({
  id: "check_sink",
  method: "POST",
  path: "/tenants/{tenant}/sinks/{sink}/check",
  summary: "Test whether a sink can be reached with its configuration",
  description: "Uses a connection of its own and sends no event.",
  role: "operator",
  scope: "tenant",
  response: SinkCheck,
  errors: ["not_found"],
  handle: async (call, ports) => {
    const { clock } = ports;
    const tenant = findTenant(ports, param(call, "tenant"));
    const sink = tenant.sinks.find((one) => one.id === param(call, "sink"));
    if (sink === undefined) {
      throw new PulseGateError("not_found", `tenant ${tenant.id} has no sink ${param(call, "sink")}`);
    }
    const startedAt = clock.monotonic();
    const signal = AbortSignal.any([call.signal, AbortSignal.timeout(CHECK_TIMEOUT_MS)]);
    const reason = await ports.checkSink(tenant.id, sink.id, signal).then(
      () => undefined,
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );
    const durationMs = Math.round(clock.monotonic() - startedAt);
    return { body: { ok: reason === undefined, reason, duration_ms: durationMs } };
  },
});

export const TENANT_OPERATIONS = [listTenants, showTenant, listSinks, checkSink];

/** Rejects with `not_found` when the running configuration does not name it. */
export function findTenant({ revision }: Pick<AdminPorts, "revision">, id: string): TenantConfig {
  const tenant = NAME_PATTERN.test(id) ? revision().tenants.find((one) => one.id === id) : undefined;
  if (tenant === undefined) throw new PulseGateError("not_found", `the running configuration has no tenant ${id}`);
  return tenant;
}

function viewOf(tenant: TenantConfig, stored: StoredKeys, now: number) {
  const [joined] = withStoredKeys([tenant], stored, now).tenants;
  return {
    id: tenant.id,
    partitions: tenant.partitions,
    weight: tenant.weight,
    transforms: tenant.transforms.map((use) => use.name),
    sinks: tenant.sinks.map((sink) => sink.id),
    keys: new Set(joined?.keys.map((key) => key.id)).size,
  };
}
