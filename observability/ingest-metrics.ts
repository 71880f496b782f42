import type { IngestMetrics } from "../core/ingestion/metrics.ts";
import type { Cell, HistogramCell } from "./families.ts";
import { OTHER } from "./families.ts";
import type { Families, LabelCaps } from "./registry.ts";

type Adapter = Parameters<IngestMetrics["request"]>[0]["adapter"];

/** Cells of one tenant label, bound once, so that a request costs a few lookups and no string. */
interface TenantCells {
  readonly label: string;
  readonly requests: Readonly<Record<Adapter, Map<number, Cell>>>;
  readonly events: Map<string, Cell>;
  bytes?: Cell;
}

export function ingestMetrics(families: Families, caps: LabelCaps): IngestMetrics {
  const latency: { [adapter in Adapter]?: HistogramCell } = { http: families.ingestLatency.cell("http") };
  const tenants = new Map<string, TenantCells>();
  const bind = (label: string): TenantCells => {
    const cells: TenantCells = {
      label,
      requests: { http: new Map(), grpc: new Map(), kafka: new Map() },
      events: new Map(),
    };
    tenants.set(label, cells);
    return cells;
  };
  const ofTenant = (tenantId: string): TenantCells => {
    const known = tenants.get(tenantId);
    if (known !== undefined) return known;
    // No credential yet: not one of the tenants that the cap counts.
    const label = tenantId === "" ? "" : caps.tenants.of(tenantId);
    return tenants.get(label) ?? bind(label);
  };
  tenants.set(OTHER, bind(OTHER));
  return {
    request: ({ adapter, tenantId, status, latencyMs }) => {
      latency[adapter] ??= families.ingestLatency.cell(adapter);
      latency[adapter].observe(latencyMs);
      const cells = ofTenant(tenantId ?? "");
      const byStatus = cells.requests[adapter];
      let cell = byStatus.get(status);
      if (cell === undefined) {
        cell = families.ingestRequests.cell(adapter, cells.label, String(status));
        byStatus.set(status, cell);
      }
      cell.value++;
    },
    events: (tenantId, code, events, bytes) => {
      const cells = ofTenant(tenantId);
      cells.bytes ??= families.ingestBytes.cell(cells.label);
      cells.bytes.value += bytes;
      let cell = cells.events.get(code);
      if (cell === undefined) {
        cell = families.ingestEvents.cell(cells.label, code);
        cells.events.set(code, cell);
      }
      cell.value += events;
    },
    backpressure: (tenantId, reason) => {
      families.backpressure.cell(ofTenant(tenantId ?? "").label, reason).value++;
    },
  };
}
