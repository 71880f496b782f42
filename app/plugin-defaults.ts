import type { ParseOptions } from "../config/parse.ts";

/** Where `pulsegate dev` looks for a broker when nobody named one. */
export const DEV_BROKERS = "localhost:9092";

/** Options that plugins get from outside of the configuration file; what the file says is stronger. */
export function pluginDefaults({
  env,
  devDatabaseUrl,
}: {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Of `pulsegate dev`, which gives its database to each postgres_sink that names none. Absent: not dev. */
  readonly devDatabaseUrl?: string | undefined;
}): NonNullable<ParseOptions["pluginDefaults"]> {
  const isDev = devDatabaseUrl !== undefined;
  const brokers = env["KAFKA_BROKERS"] || (isDev ? DEV_BROKERS : undefined);
  return {
    ...(isDev ? { postgres_sink: { url: devDatabaseUrl } } : {}),
    ...(brokers === undefined ? {} : { kafka_sink: { brokers } }),
  };
}
