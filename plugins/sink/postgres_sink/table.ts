import pg from "pg";
import { HEAD_COLUMNS } from "./columns.ts";

export type PayloadType = "jsonb" | "json" | "text";

export interface TableOptions {
  /** `table` or `schema.table`, unquoted. */
  readonly table: string;
  readonly payloadType: PayloadType;
}

/** The table is there but can't take events, or it is missing and may not be created. `code` is an SQLSTATE. */
export class TableProblem extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.name = "TableProblem";
    this.code = code;
  }
}

type Query = (query: { text: string; values?: unknown[] }) => Promise<{ rows: unknown[] }>;

const TIMES: readonly string[] = ["occurred_at", "received_at"];
const OPTIONAL: readonly string[] = ["trace_id", "idempotency_key"];
const TEXT_TYPES = ["text", "character varying"];

/** `"schema"."table"`. */
export function quoteTable(table: string): string {
  return table.split(".").map(pg.escapeIdentifier).join(".");
}

/** One statement for any number of events; its parameters are `columnsOf` them. */
export function insertStatement({ table, payloadType }: TableOptions): string {
  const columns = [...HEAD_COLUMNS, "payload"];
  const parameters = columns.map((_, i) => `$${i + 1}::text[]`);
  const values = columns.map((column) => column + castOf(column, payloadType));
  return (
    `INSERT INTO ${quoteTable(table)} (${columns.join(", ")}) SELECT ${values.join(", ")} ` +
    `FROM unnest(${parameters.join(", ")}) AS event (${columns.join(", ")}) ` +
    "ON CONFLICT (tenant_id, event_id) DO NOTHING"
  );
}

function castOf(column: string, payloadType: PayloadType): string {
  if (TIMES.includes(column)) return "::timestamptz";
  return column === "payload" && payloadType !== "text" ? `::${payloadType}` : "";
}

/** Rejects with a `TableProblem` that lists all that is wrong. False: there is no such table. */
export async function inspectTable(query: Query, options: TableOptions): Promise<boolean> {
  const { rows } = await query({ text: INSPECT, values: [quoteTable(options.table)] });
  const { found, columns, keyed } = rows[0] as { found: boolean; columns: readonly Column[]; keyed: boolean };
  if (!found) return false;
  const byName = new Map(columns.map((column) => [column.name, column]));
  const missing = [...HEAD_COLUMNS, "payload"].filter((name) => !byName.has(name));
  const mismatches = columns.flatMap((column) => mismatchOf(column, options.payloadType));
  const problems = [...missing.map((name) => `column ${name} is missing`), ...mismatches];
  if (!keyed) problems.push("it needs a unique key on (tenant_id, event_id)");
  if (problems.length === 0) return true;
  const code = missing.length > 0 ? "42703" : mismatches.length > 0 ? "42804" : "42P10";
  const advice = "Alter it, or name another `table`";
  throw new TableProblem(code, `table ${options.table} can't take events: ${problems.join("; ")}. ${advice}`);
}

interface Column {
  readonly name: string;
  readonly type: string;
  /** NOT NULL without a default. */
  readonly required: boolean;
}

function mismatchOf(column: Column, payloadType: PayloadType): string[] {
  const { name, type, required } = column;
  const allowed = typesOf(name, payloadType);
  if (allowed === undefined) return required ? [`column ${name} is NOT NULL without a default`] : [];
  if (!allowed.includes(type)) return [`column ${name} is ${type}, not ${allowed[0]}`];
  return required && OPTIONAL.includes(name) ? [`column ${name} must allow NULL`] : [];
}

function typesOf(name: string, payloadType: PayloadType): readonly string[] | undefined {
  if (TIMES.includes(name)) return ["timestamp with time zone"];
  if (name === "payload") return payloadType === "text" ? TEXT_TYPES : [payloadType];
  return (HEAD_COLUMNS as readonly string[]).includes(name) ? TEXT_TYPES : undefined;
}

const INSPECT = `
SELECT t.id IS NOT NULL AS found,
  (SELECT coalesce(json_agg(json_build_object('name', attname, 'type', format_type(atttypid, NULL),
      'required', attnotnull AND NOT atthasdef AND attidentity = '')), '[]')
    FROM pg_attribute WHERE attrelid = t.id AND attnum > 0 AND NOT attisdropped) AS columns,
  EXISTS (SELECT FROM pg_index WHERE indrelid = t.id AND indisunique AND indisvalid AND indimmediate
    AND indpred IS NULL AND indexprs IS NULL AND
    (SELECT array_agg(attname::text ORDER BY attname) FROM pg_attribute
      WHERE attrelid = indrelid AND attnum = ANY (indkey[0:indnkeyatts - 1])) = '{event_id,tenant_id}') AS keyed
FROM (SELECT to_regclass($1)::oid AS id) AS t`;

/** Does nothing when another process made it first. */
export async function createTable(query: Query, options: TableOptions): Promise<void> {
  const columns = HEAD_COLUMNS.map((name) => {
    const type = TIMES.includes(name) ? "timestamptz" : "text";
    return `${name} ${type}${OPTIONAL.includes(name) ? "" : " NOT NULL"}`;
  });
  const body = [...columns, `payload ${options.payloadType} NOT NULL`, "PRIMARY KEY (tenant_id, event_id)"].join(", ");
  const table = quoteTable(options.table);
  // IF NOT EXISTS alone still fails (23505 on pg_type) when two sessions create at the same moment.
  // Both statements travel as one simple query, which is one transaction.
  const lock = `SELECT pg_advisory_xact_lock(hashtextextended(${pg.escapeLiteral(`pulsegate ${table}`)}, 0))`;
  await query({ text: `${lock}; CREATE TABLE IF NOT EXISTS ${table} (${body})` });
}
