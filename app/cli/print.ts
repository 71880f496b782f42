import { renderTable, withoutControls } from "./table.ts";

const WIDTH_DEFAULT = 80;

export function printLine(text = ""): void {
  process.stdout.write(`${text}\n`);
}

/** For progress and remarks, so that standard output holds the data alone. */
export function printNote(text: string): void {
  process.stderr.write(`${text}\n`);
}

export function printJson(value: unknown): void {
  printLine(JSON.stringify(value, null, 2));
}

export type Row = Readonly<Record<string, unknown>>;

/** A table that fits the terminal if there is one, or `empty` when there are no rows. */
export function printRows(rows: readonly Row[], columns: readonly string[], empty: string): void {
  if (rows.length === 0) {
    printLine(empty);
    return;
  }
  const cells = rows.map((row) => columns.map((column) => textOf(row[column])));
  printLine(renderTable({ columns, rows: cells, width: terminalWidth() }));
}

/** Characters per line; a program that reads from a pipe gets each row on a line of its own. */
export function terminalWidth(): number {
  if (!process.stdout.isTTY) return Number.POSITIVE_INFINITY;
  // Some terminals say 0.
  const { columns } = process.stdout;
  return columns > 0 ? columns : WIDTH_DEFAULT;
}

/** One cell or field as text. */
export function textOf(value: unknown): string {
  if (value === null || value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** A name and its value per line; what has no value is left out. */
export function printFields(fields: Row): void {
  const shown = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null);
  const label = Math.max(...shown.map(([name]) => name.length));
  for (const [name, value] of shown) printLine(`${name.padEnd(label)}  ${withoutControls(textOf(value))}`);
}
