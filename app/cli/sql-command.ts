import type { FieldDef, QueryArrayResult } from "pg";
import { EXIT, Failure } from "./failure.ts";
import { findInstance } from "./instance.ts";
import { printLine, printNote, terminalWidth } from "./print.ts";
import { renderTable } from "./table.ts";

export interface SqlOptions {
  readonly data: string;
  readonly databaseUrl?: string;
  readonly json?: boolean;
}

type Cell = string | null;
type Result = QueryArrayResult<Cell[]>;

/** Object ids of PostgreSQL's types whose text is JSON already. */
const JSON_TYPES = new Set([114, 3802]);
const BARE_TYPES = new Set([16, 20, 21, 23, 26, 700, 701, 1700]);

/** `sql`: runs statements against the dev database and prints what they give. */
export async function runSql(statement: string, options: SqlOptions): Promise<void> {
  const connectionString = options.databaseUrl ?? (await devDatabase(options.data));
  const { Client } = (await import("pg")).default;
  const client = new Client({
    connectionString,
    connectionTimeoutMillis: 5_000,
    application_name: "pulsegate sql",
    // Everything as PostgreSQL writes it: nothing is rounded or moved to another time zone.
    types: { getTypeParser: () => (text: string) => text },
  });
  try {
    await client.connect();
  } catch (error) {
    const next = "see that it runs, and that the address is right";
    throw new Failure("could not reach the database", { exitCode: EXIT.unreachable, why: wordsOf(error), next });
  }
  try {
    const given: Result | Result[] = await client.query<Cell[]>({ text: statement, rowMode: "array" });
    // Several statements give a list of results, which the library's types don't know.
    for (const result of [given].flat()) printResult(result, options.json === true);
  } catch (error) {
    throw new Failure("the database refused the statement", { why: wordsOf(error) });
  } finally {
    await client.end();
  }
}

async function devDatabase(dataDir: string): Promise<string> {
  const runtime = await findInstance(dataDir);
  if (runtime?.databaseUrl !== undefined) return runtime.databaseUrl;
  throw new Failure("found no dev database", {
    exitCode: EXIT.unreachable,
    why: `no instance with a database runs on the data folder ${dataDir}`,
    next: "start `pulsegate dev`, or give --database-url",
  });
}

function printResult({ fields, rows, command, rowCount }: Result, json: boolean): void {
  if (json) {
    printLine(`[${rows.map((row) => rowJson(fields, row)).join(",\n ")}]`);
    return;
  }
  if (fields.length > 0) {
    const cells = rows.map((row) => row.map((cell) => cell ?? ""));
    const columns = fields.map((field) => field.name);
    if (rows.length > 0) printLine(renderTable({ columns, rows: cells, width: terminalWidth() }));
    printNote(`(${rows.length} ${rows.length === 1 ? "row" : "rows"})`);
  } else printNote(`${command ?? "done"}${rowCount === null ? "" : ` ${rowCount}`}`);
}

/** One row as a JSON object, put together as text so that numbers keep all their digits. */
function rowJson(fields: readonly FieldDef[], row: readonly Cell[]): string {
  const members = fields.map(
    ({ name, dataTypeID }, i) => `${JSON.stringify(name)}:${cellJson(row[i] ?? null, dataTypeID)}`,
  );
  return `{${members.join(",")}}`;
}

function cellJson(text: Cell, type: number): string {
  if (text === null) return "null";
  if (JSON_TYPES.has(type)) return text;
  if (type === 16) return text === "t" ? "true" : "false";
  return BARE_TYPES.has(type) && Number.isFinite(Number(text)) ? text : JSON.stringify(text);
}

function wordsOf(error: unknown): string {
  const { message, code, errors } = error as { message?: string; code?: string; errors?: Error[] };
  return [message === "" ? errors?.[0]?.message : message, code].filter((part) => part !== undefined).join(" ");
}
