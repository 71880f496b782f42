import type { ControlStore } from "../../core/ingestion/log.ts";
import { type Client, listOf, type Reply, textOf } from "./client.ts";
import type { DurableWriter } from "./durable.ts";
import type { Keys } from "./keys.ts";
import { PUT, REMOVE } from "./lua-shared.ts";

interface Document {
  readonly value: unknown;
  readonly version: number;
}

/** Control documents in one hash, found by prefix through a sorted set of their names. */
export class RedisControl implements ControlStore {
  private readonly client: Client;
  private readonly writer: DurableWriter;
  private readonly keys: Keys;

  constructor(client: Client, writer: DurableWriter, keys: Keys) {
    this.client = client;
    this.writer = writer;
    this.keys = keys;
  }

  async get(key: string): Promise<Document | undefined> {
    return documentOf(await this.client.call("HGET", this.keys.shared("control"), key));
  }

  async put(key: string, value: unknown, version: number): Promise<number> {
    const names = [this.keys.shared("control"), this.keys.shared("names")];
    return Number(await this.writer.run(PUT, names, [key, version, JSON.stringify(value)]));
  }

  async remove(key: string, version: number): Promise<void> {
    const names = [this.keys.shared("control"), this.keys.shared("names")];
    await this.client.run(REMOVE, names, [key, version]);
  }

  async list(prefix: string): Promise<Array<Document & { readonly key: string }>> {
    const end = Buffer.concat([Buffer.from(`(${prefix}`), Buffer.from([0xff])]);
    const range = prefix === "" ? ["-", "+"] : [`[${prefix}`, end];
    const names = listOf(await this.client.call("ZRANGEBYLEX", this.keys.shared("names"), ...range)).map(textOf);
    if (names.length === 0) return [];
    const documents = listOf(await this.client.call("HMGET", this.keys.shared("control"), ...names));
    return names.flatMap((key, i) => {
      const document = documentOf(documents[i] ?? null);
      return document === undefined ? [] : [{ key, ...document }];
    });
  }
}

function documentOf(reply: Reply): Document | undefined {
  if (reply === null) return undefined;
  const text = textOf(reply);
  const end = text.indexOf("\n");
  return { value: JSON.parse(text.slice(end + 1)) as unknown, version: Number(text.slice(0, end)) };
}
