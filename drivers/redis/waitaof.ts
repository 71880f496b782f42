import { PulseGateError } from "../../core/canonical/errors.ts";
import { type Client, listOf } from "./client.ts";

/** Redis syncs once a second, and a disk may be slow. */
const TIMEOUT_MS = 4_000;

/** Resolves when what this connection has written so far is synced to the append-only file. */
export async function checkWritten(client: Client): Promise<void> {
  const [synced] = listOf(await client.call("WAITAOF", 1, 0, TIMEOUT_MS));
  if (Number(synced) < 1) {
    const why = "Redis did not sync its append-only file in time; the outcome is unknown. Try again.";
    throw new PulseGateError("log_unavailable", why);
  }
}
