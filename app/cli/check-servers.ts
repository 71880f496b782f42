import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Servers } from "../../plugins/testing/check-messages.ts";
import { startEmbeddedPostgres } from "../dev/embedded-postgres.ts";
import { printNote } from "./print.ts";

/** Servers that `plugins check` may fill and break, for those of the plugins that need one. */
export async function startServers(
  plugins: readonly { readonly name: string; readonly module?: unknown }[],
): Promise<{ readonly addresses: Servers; stop(): Promise<void> }> {
  const brokers = process.env["KAFKA_BROKERS"];
  if (!plugins.some(({ name, module }) => name === "postgres_sink" && module === undefined))
    return { addresses: { brokers }, stop: async () => undefined };
  printNote("starting a PostgreSQL to try postgres_sink on …");
  const folder = await mkdtemp(join(tmpdir(), "pulsegate-check-"));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    // Root's temporary folders are closed to the user that the server runs as.
    await chmod(folder, 0o711);
    const server = await startEmbeddedPostgres({ dataDir: folder, logger: SILENT, settings: { fsync: "off" } });
    return { addresses: { brokers, postgres: { url: server.url } }, stop: () => server.stop().then(remove) };
  } catch (error) {
    await remove();
    const missing = error instanceof Error ? error.message : String(error);
    return { addresses: { brokers, postgres: { missing } }, stop: async () => undefined };
  }
}

const quiet = () => undefined;
const SILENT = { debug: quiet, info: quiet, warn: quiet, error: quiet };
