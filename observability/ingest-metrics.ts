import type { IngestMetrics } from "../core/ingestion/metrics.ts";
import type { Cell, HistogramCell } from "./families.ts";
import type { Families, LabelCaps } from "./registry.ts";

type Adapter = Parameters<IngestMetrics["request"]>[0]["adapter"];

/** Cells of one tenant label, bound once, so that a request costs a few lookups and no string. */
interface LabelCells {
  readonly label: string;
  readonly requests: Readonly<Record<Adapter, Map<number, Cell>>>;
  readonly events: Map<string, Cell>;
  readonly refused: Map<string, Cell>;
  bytes?: Cell;
}

/** A tenant that was seen; many may share the cells of `other`. */
interface Seen {
  cells: LabelCells;
  /** Requests and events since the last look. */
  traffic: number;
  /** Of accepted events, since the last look. */
  bytes: number;
}

/** What a tenant had at the door since the last look. */
export interface DoorTraffic {
  readonly requestsAndEvents: number;
  readonly acceptedBytes: number;
}

export interface DoorMetrics extends IngestMetrics {
  /** Of all tenants that had any since the last call, those without labels too. */
  takeTraffic(): Map<string, DoorTraffic>;
  /** The labels of tenants changed: cells are bound anew. */
  rebind(): void;
}

export function ingestMetrics(families: Families, caps: LabelCaps): DoorMetrics {
  const latency: { [adapter in Adapter]?: HistogramCell } = { http: families.ingestLatency.cell("http") };
  const labels = new Map<string, LabelCells>();
  const tenants = new Map<string, Seen>();
  const cellsOf = (label: string): LabelCells => {
    const known = labels.get(label);
    if (known !== undefined) return known;
    const requests = { http: new Map(), grpc: new Map(), kafka: new Map() };
    const cells = { label, requests, events: new Map(), refused: new Map() };
    labels.set(label, cells);
    return cells;
  };
  const see = (tenantId: string): Seen => {
    const known = tenants.get(tenantId);
    if (known !== undefined) return known;
    // No credential yet: not one of the tenants that the cap counts.
    const label = tenantId === "" ? "" : caps.tenants.of(tenantId);
    const seen = { cells: cellsOf(label), traffic: 0, bytes: 0 };
    tenants.set(tenantId, seen);
    return seen;
  };
  return {
    request: ({ adapter, tenantId, status, latencyMs }) => {
      latency[adapter] ??= families.ingestLatency.cell(adapter);
      latency[adapter].observe(latencyMs);
      const seen = see(tenantId ?? "");
      seen.traffic++;
      const byStatus = seen.cells.requests[adapter];
      let cell = byStatus.get(status);
      if (cell === undefined) {
        cell = families.ingestRequests.cell(adapter, seen.cells.label, String(status));
        byStatus.set(status, cell);
      }
      cell.value++;
    },
    events: (tenantId, code, events, bytes) => {
      const seen = see(tenantId);
      const { cells } = seen;
      seen.traffic += events;
      cells.bytes ??= families.ingestBytes.cell(cells.label);
      cells.bytes.value += bytes;
      if (code === "accepted") seen.bytes += bytes;
      let cell = cells.events.get(code);
      if (cell === undefined) {
        cell = families.ingestEvents.cell(cells.label, code);
        cells.events.set(code, cell);
      }
      cell.value += events;
    },
    backpressure: (tenantId, reason) => {
      const { cells } = see(tenantId ?? "");
      let cell = cells.refused.get(reason);
      if (cell === undefined) {
        cell = families.backpressure.cell(cells.label, reason);
        cells.refused.set(reason, cell);
      }
      cell.value++;
    },
    takeTraffic: () => {
      const taken = new Map<string, DoorTraffic>();
      for (const [tenantId, seen] of tenants) {
        if (tenantId !== "" && seen.traffic > 0)
          taken.set(tenantId, { requestsAndEvents: seen.traffic, acceptedBytes: seen.bytes });
        // Who sends nothing any more is not kept.
        if (seen.traffic === 0) tenants.delete(tenantId);
        seen.traffic = 0;
        seen.bytes = 0;
      }
      return taken;
    },
    rebind: () => {
      labels.clear();
      tenants.clear();
    },
  };
}
