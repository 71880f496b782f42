import { renderTable } from "../table.ts";
import type { ProofResult } from "./proof.ts";
import { type Compared, GRAIN_MS } from "./verdict.ts";

const WIDTH = 80;
const COLUMNS = ["aggressor", "door p50", "door p99", "x", "dlv p50", "dlv p99", "x", "refused", ""];

/** The proof as a table of at most 80 columns, and what it was held against. */
export function renderProof({ rows, overload, limits, passed }: ProofResult): string {
  const cells = rows.map(({ aggressor, door, delivery, refused, passed: isFine }) => [
    aggressor,
    ...cellsOf(door),
    ...cellsOf(delivery),
    String(refused),
    isFine ? "ok" : "FAIL",
  ]);
  const table = renderTable({ columns: COLUMNS, rows: cells, width: WIDTH });
  const { jain, tenants, refused, eventsPerSecond } = overload;
  return [
    table,
    "",
    "Milliseconds of the victim, quiet/during; dlv: from sent to delivered.",
    `${tenants} equal tenants at overload: ${Math.round(eventsPerSecond)} events/s, ${refused} requests refused,`,
    `Jain's index ${jain.toFixed(3)} ${jain >= limits.jainMin ? "ok" : "FAIL"}`,
    `Limits: door p99 x ${limits.doorMax}, delivery p99 x ${limits.deliveryMax} (of ${GRAIN_MS} ms or more),`,
    `no refusal, nothing undelivered, Jain ${limits.jainMin}.`,
    passed ? "Fair." : "NOT fair.",
  ].join("\n");
}

function cellsOf({ quiet, during, ratio }: Compared): string[] {
  return [
    `${short(quiet.p50Ms)}/${short(during.p50Ms)}`,
    `${short(quiet.p99Ms)}/${short(during.p99Ms)}`,
    ratio === Infinity ? "-" : ratio.toFixed(1),
  ];
}

function short(ms: number): string {
  if (ms === Infinity) return "never";
  return ms < 10 ? ms.toFixed(1) : String(Math.round(ms));
}
