import { type Client, textOf } from "./client.ts";
import { ALL_SHARDS, type Keys } from "./keys.ts";
import { IDENTIFY } from "./lua-shared.ts";

export interface IdentityOptions {
  readonly client: Client;
  readonly keys: Keys;
  readonly random: () => string;
}

const NEW = "new ";

/**
 * The id of the log under the prefix, which each shard has beside its data: where it is gone, so is what was in
 * the shard. A log that does not exist is made; made in part by a process that died, it is completed.
 */
export async function openIdentity({ client, keys, random }: IdentityOptions): Promise<string> {
  const found = textOf(await client.run(IDENTIFY, [keys.shared("id")], [random()]));
  if (!found.startsWith(NEW)) return found;
  const id = found.slice(NEW.length);
  await Promise.all(ALL_SHARDS.map((shard) => client.call("SET", keys.id(shard), id, "NX")));
  await client.call("SET", keys.shared("id"), id);
  return id;
}

/** Keys of ids that are gone, or another log's: what they stood beside is lost. */
export async function missingShards({ client, keys }: Omit<IdentityOptions, "random">, id: string): Promise<string[]> {
  const names = [keys.shared("id"), ...ALL_SHARDS.map((shard) => keys.id(shard))];
  const ids = await Promise.all(names.map((name) => client.call("GET", name)));
  return names.filter((_, i) => textOf(ids[i]) !== id);
}
