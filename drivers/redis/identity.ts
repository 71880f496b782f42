import { PulseGateError } from "../../core/canonical/errors.ts";
import { type Client, textOf } from "./client.ts";
import { ALL_SHARDS, type Keys } from "./keys.ts";
import { IDENTIFY } from "./lua-shared.ts";

export interface IdentityOptions {
  readonly client: Client;
  readonly keys: Keys;
  readonly random: () => string;
}

const NEW = "new ";
/** Begins the id of a log that is laid out as docs/decisions/0080-redis.md says. */
const FORMAT = "2-";

/**
 * The id of the log under the prefix, which each shard has beside its data: where it is gone, so is what was in
 * the shard. A log that does not exist is made; made in part by a process that died, it is completed. Rejects with
 * `malformed_request` where another version has laid it out otherwise: nothing is read or written there then.
 */
export async function openIdentity({ client, keys, random }: IdentityOptions): Promise<string> {
  const found = textOf(await client.run(IDENTIFY, [keys.shared("id")], [FORMAT + random()]));
  const id = found.startsWith(NEW) ? found.slice(NEW.length) : found;
  if (!id.startsWith(FORMAT)) throw otherFormat(keys.prefix);
  if (id === found) return id;
  await Promise.all(ALL_SHARDS.map((shard) => client.call("SET", keys.id(shard), id, "NX")));
  await client.call("SET", keys.shared("id"), id);
  return id;
}

function otherFormat(prefix: string): PulseGateError {
  const what = `The log in Redis under the prefix "${prefix}" has another format than this version of PulseGate reads`;
  const next =
    "Let the version that wrote it deliver what is left, then start this one with another log.prefix or database";
  return new PulseGateError("malformed_request", `${what}. ${next}.`);
}

/** Keys of ids that are gone, or another log's: what they stood beside is lost. */
export async function missingShards({ client, keys }: Omit<IdentityOptions, "random">, id: string): Promise<string[]> {
  const names = [keys.shared("id"), ...ALL_SHARDS.map((shard) => keys.id(shard))];
  const ids = await Promise.all(names.map((name) => client.call("GET", name)));
  return names.filter((_, i) => textOf(ids[i]) !== id);
}
