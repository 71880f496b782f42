import { renderTable, withoutControls } from "./table.ts";

const WIDTH_DEFAULT = 80;
/** Between a field's name and what it holds. */
const GAP = 2;

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
  for (const [name, value] of shown) {
    const [first, ...more] = wrapped(withoutControls(phraseOf(value)), terminalWidth() - label - GAP);
    printLine(`${name.padEnd(label)}  ${first}`);
    for (const line of more) printLine(`${" ".repeat(label + GAP)}${line}`);
  }
}

/** What a field holds, for a reader: names and values, without brackets. `--json` has the rest. */
function phraseOf(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.map(phraseOf).join("; ");
  if (typeof value !== "object" || value === null) return textOf(value);
  const parts = Object.entries(value).filter(([, part]) => part !== undefined && part !== null);
  return parts.map(([name, part]) => `${name} ${phraseOf(part)}`).join(", ");
}

/** At spaces; a word that is longer than a line has one of its own. */
function wrapped(text: string, width: number): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1) as string;
    if (line !== "" && line.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines;
}
