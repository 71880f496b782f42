import type { Dashboard, Panel } from "./panels.ts";

const DATASOURCE = { type: "prometheus", uid: "${datasource}" };
const COLUMNS = 24;
const HEIGHT = 8;

/** The JSON model that Grafana 10 and later import, with its data source chosen at the top. */
export function grafanaJson(dashboard: Dashboard): string {
  const { uid, title, description } = dashboard;
  const model = {
    uid,
    title,
    description,
    tags: ["pulsegate"],
    schemaVersion: 39,
    editable: true,
    graphTooltip: 1,
    refresh: "10s",
    time: { from: "now-1h", to: "now" },
    timezone: "browser",
    templating: { list: variables(dashboard) },
    panels: layOut(dashboard),
  };
  return `${JSON.stringify(model, null, 2)}\n`;
}

function variables({ byTenant }: Dashboard): object[] {
  const datasource = { name: "datasource", label: "Data source", type: "datasource", query: "prometheus" };
  if (!byTenant) return [datasource];
  const tenant = {
    name: "tenant",
    label: "Tenant",
    type: "query",
    datasource: DATASOURCE,
    query: { query: "label_values(pulsegate_ingest_events_total, tenant)", refId: "tenant" },
    refresh: 2,
    sort: 1,
    includeAll: false,
    multi: false,
  };
  return [datasource, tenant];
}

function layOut({ rows }: Dashboard): object[] {
  const panels: object[] = [];
  let id = 1;
  let y = 0;
  for (const row of rows) {
    panels.push({
      id: id++,
      type: "row",
      title: row.title,
      collapsed: false,
      gridPos: { x: 0, y, w: COLUMNS, h: 1 },
      panels: [],
    });
    y += 1;
    let x = 0;
    for (const panel of row.panels) {
      const w = COLUMNS / 2;
      if (x + w > COLUMNS) {
        x = 0;
        y += HEIGHT;
      }
      panels.push(panelJson(panel, { id: id++, gridPos: { x, y, w, h: HEIGHT } }));
      x += w;
    }
    y += HEIGHT;
  }
  return panels;
}

function panelJson(panel: Panel, place: { readonly id: number; readonly gridPos: object }): object {
  const stacking = { mode: panel.stacked === true ? "normal" : "none", group: "A" };
  return {
    ...place,
    type: "timeseries",
    title: panel.title,
    description: panel.description,
    datasource: DATASOURCE,
    fieldConfig: {
      defaults: {
        unit: panel.unit,
        min: 0,
        custom: { lineWidth: 1, fillOpacity: panel.stacked === true ? 30 : 0, stacking },
      },
      overrides: [],
    },
    options: { legend: { displayMode: "list", placement: "bottom" }, tooltip: { mode: "multi", sort: "desc" } },
    targets: panel.queries.map(({ expr, legend }, i) => ({
      refId: String.fromCharCode(65 + i),
      datasource: DATASOURCE,
      expr,
      legendFormat: legend,
      editorMode: "code",
      range: true,
    })),
  };
}
