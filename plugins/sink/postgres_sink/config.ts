import { z } from "zod";
import { parseTarget } from "./target.ts";

const IDENTIFIER = "[A-Za-z_][A-Za-z0-9_$]{0,62}";
const TABLE_PATTERN = new RegExp(`^(?:${IDENTIFIER}\\.)?${IDENTIFIER}$`);

const tls = z.strictObject({
  mode: z
    .enum(["disable", "require"])
    .default("disable")
    .describe("`require` refuses a connection without TLS. The URL's `sslmode` sets it too."),
  ca: z.string().optional().describe("Certificate authorities in PEM form; without them those of Node."),
  ca_file: z.string().optional().describe("A file with certificate authorities in PEM form; read at the start."),
  reject_unauthorized: z
    .boolean()
    .default(true)
    .describe("Refuse a server whose certificate or host name does not hold. Turn off only for a test."),
});

/** Options of postgres_sink. Plain data: it is posted to worker threads. */
export const config = z
  .strictObject({
    url: z
      .string()
      .refine(
        isUrl,
        "must be a URL like postgres://user:password@host:5432/database, with no parameters but sslmode and application_name",
      )
      .optional()
      .meta({ secret: true, examples: ["postgres://user:password@127.0.0.1:5432/mydb"] })
      .describe("Where the database is. `pulsegate dev` fills in its own database. Not used when `host` is given."),
    host: z
      .string()
      .min(1)
      .optional()
      .describe("Host name, address, or the folder of a Unix socket; instead of `url`."),
    port: z.int().min(1).max(65535).default(5432).describe("With `host`."),
    user: z.string().min(1).optional().describe("With `host`."),
    password: z.string().optional().meta({ secret: true }).describe("With `host`."),
    database: z.string().min(1).optional().describe("With `host`; defaults to the user's name."),
    table: z
      .string()
      .regex(TABLE_PATTERN, "must be a table name, or schema.table")
      .default("events_raw")
      .describe("Where the rows go: `table` or `schema.table`, taken literally (upper case stays upper case)."),
    create_table: z.boolean().default(true).describe("Create the table when it is missing. The schema must exist."),
    payload_column: z
      .enum(["jsonb", "json", "text"])
      .default("jsonb")
      .describe("Type of the payload column. `json` and `text` keep the payload byte for byte; `jsonb` normalises it."),
    pool_size: z
      .int()
      .min(1)
      .max(1000)
      .default(10)
      .describe("Most connections per worker thread. Sinks with the same connection options share them."),
    statement_timeout_ms: z
      .int()
      .min(100)
      .max(3_600_000)
      .default(10_000)
      .describe("The server ends a statement that takes longer. Keep it below the sink's `retry.timeout`."),
    connect_timeout_ms: z
      .int()
      .min(100)
      .max(600_000)
      .default(5_000)
      .describe("Longest wait for a connection, whether it is opened anew or all are busy."),
    application_name: z.string().max(63).default("pulsegate").describe("Shown in pg_stat_activity."),
    tls: tls.optional().describe("Encryption. Without it the URL's `sslmode` decides, or there is none."),
  })
  .refine((options) => options.url !== undefined || options.host !== undefined, {
    error: "`url` or `host` is required: only `pulsegate dev` brings a database of its own",
  })
  .refine((options) => options.host === undefined || options.user !== undefined, {
    message: "`user` is required with `host`",
    path: ["user"],
  });

export type Config = z.output<typeof config>;

function isUrl(url: string): boolean {
  try {
    parseTarget(url);
    return true;
  } catch {
    return false;
  }
}
