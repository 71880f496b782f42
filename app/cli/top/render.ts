import { withoutControls } from "../table.ts";
import type { TopRow } from "./rows.ts";

interface Column {
  readonly title: string;
  readonly width: number;
  readonly left?: boolean;
  readonly cell: (row: TopRow) => string;
}

const COLUMNS: readonly Column[] = [
  { title: "TENANT", width: 13, left: true, cell: (row) => row.tenant },
  { title: "IN/S", width: 6, cell: (row) => shortNumber(row.accepted_per_second) },
  { title: "REF/S", width: 6, cell: (row) => shortNumber(row.refused_per_second) },
  { title: "SINK", width: 13, left: true, cell: (row) => row.sink ?? "-" },
  { title: "OUT/S", width: 6, cell: (row) => shortNumber(row.delivered_per_second) },
  { title: "BACKLOG", width: 7, cell: (row) => shortNumber(row.backlog_events) },
  { title: "OLDEST", width: 6, cell: (row) => shortTime(row.oldest_seconds) },
  { title: "RETRY/S", width: 7, cell: (row) => shortNumber(row.retried_per_second) },
  { title: "BREAKER", width: 9, left: true, cell: (row) => row.breaker ?? "-" },
];

/** A table of at most 80 characters a line and so many lines, its head included. */
export function renderTop(rows: readonly TopRow[], linesMax: number): string {
  const head = COLUMNS.map((column) => fit(column.title, column)).join(" ");
  const shown = rows.slice(0, Math.max(1, linesMax - 2));
  const lines = shown.map((row) => COLUMNS.map((column) => fit(withoutControls(column.cell(row)), column)).join(" "));
  const rest = rows.length - shown.length;
  const more = rest > 0 ? [`… and ${rest} more`] : [];
  return [head, ...lines, ...more].map((line) => line.trimEnd()).join("\n");
}

function fit(text: string, { width, left }: Column): string {
  const cut = text.length > width ? `${text.slice(0, width - 1)}…` : text;
  return left === true ? cut.padEnd(width) : cut.padStart(width);
}

const UNITS = ["", "k", "M", "G", "T"];

/** At most five characters: 0, 0.4, 12, 999, 1.2k, 45k, 3.1M. */
export function shortNumber(value: number): string {
  let scaled = value;
  let unit = 0;
  while (scaled >= 999.5 && unit < UNITS.length - 1) {
    scaled /= 1000;
    unit += 1;
  }
  const digits = scaled !== 0 && scaled < 9.95 && (unit > 0 || !Number.isInteger(scaled)) ? 1 : 0;
  return `${scaled.toFixed(digits)}${UNITS[unit]}`;
}

/** 0s, 340ms, 12s, 5m, 3h, 2d. */
export function shortTime(seconds: number): string {
  if (seconds === 0) return "0s";
  if (seconds < 0.9995) return `${Math.max(1, Math.round(seconds * 1000))}ms`;
  const steps: ReadonlyArray<readonly [number, string]> = [
    [86_400, "d"],
    [3_600, "h"],
    [60, "m"],
  ];
  const [size, unit] = steps.find(([step]) => seconds >= 2 * step) ?? [1, "s"];
  return `${Math.round(seconds / size)}${unit}`;
}
