import { METRICS } from "../../observability/definitions.ts";
import type { MetricDefinition } from "../../observability/definitions.ts";
import { TENANT_LABELS_MAX } from "../../observability/tenant-labels.ts";
import { code, page, table } from "./markdown.ts";

export function metricsPage(): string {
  const definitions: readonly MetricDefinition[] = Object.values(METRICS);
  const rows = definitions.map(({ name, type, unit, labels, help }) => [
    code(name),
    type,
    unit === "1" ? "" : unit,
    labels.map(code).join(" "),
    help,
  ]);
  const buckets = definitions
    .filter((definition) => definition.buckets !== undefined)
    .map(({ name, unit, buckets: bounds }) => [code(name), unit, (bounds ?? []).join(" ")]);
  return page(
    "Metrics",
    `Prometheus text at \`/metrics\` of the operations port. The ${TENANT_LABELS_MAX} tenants with the most traffic have labels of their own, the rest are counted as \`other\`. Which they are is decided anew once a minute; to take another's place a tenant needs twice its traffic. A tenant that loses its label takes its series with it and counts under \`other\` from then on, so that no counter falls or jumps: \`rate()\` and \`increase()\` are right, also of \`other\`, while a sum over tenants holds what those with a label now counted under it. Further, no metric has more than a fixed number of series, beyond which everything is \`other\`, so that the whole stays below 5,000 series whatever tenants do. Beside these stand the process's own figures (\`process_*\`, \`nodejs_*\`).`,
    table(["metric", "type", "unit", "labels", "what it tells"], rows),
    "## Buckets",
    table(["histogram", "unit", "upper bounds"], buckets),
  );
}
