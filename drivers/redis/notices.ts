import { setTimeout as pause } from "node:timers/promises";
import type { Redis } from "ioredis";
import { ArrivalHub } from "../arrivals.ts";
import { type Stream, type StreamKey, streamKey } from "../../core/ingestion/log.ts";
import type { Client } from "./client.ts";
import { type ConnectOptions, connectOnce } from "./connect.ts";
import type { Keys } from "./keys.ts";
import { parseStreamKey } from "./reader.ts";

export interface NoticesOptions {
  readonly connection: ConnectOptions;
  /** Knows the nodes of a cluster. */
  readonly client: Client;
  readonly keys: Keys;
  /** All streams, asked for when notices may have been missed. */
  readonly knownStreams: () => Promise<readonly Stream[]>;
  /** Their ends, asked for where notices get lost on the way. */
  readonly knownEnds: () => Promise<ReadonlyArray<readonly [Stream, number]>>;
  readonly onClaimsChanged: (by: string) => void;
}

interface Listening {
  /** Resolves when the connection has ended. */
  readonly ended: Promise<unknown>;
}

const ASK_AGAIN_MS = 100;
/** A server that stands still tells of nothing, and its connection stays. */
const PING_MS = 2_000;
/** Nodes of a cluster drop what they had to tell one another when one of them stood still for half of its timeout. */
const LOOK_MS = 5_000;

/**
 * A connection that is told of new entries and of changed claims by whoever makes them. In a cluster any node tells
 * of what is said at each, as far as it hears of it: how far the streams are is looked at from time to time. What it
 * may have missed while it was cut off it makes good: every stream is announced when it is back.
 */
export class Notices {
  readonly hub = new ArrivalHub();
  private readonly options: NoticesOptions;
  /** How far each stream was announced: one append may be told of twice, by its caller and by the server. */
  private readonly ends = new Map<StreamKey, number>();
  private raw: Redis | undefined;
  private closed = false;

  constructor(options: NoticesOptions) {
    this.options = options;
  }

  async start(): Promise<void> {
    void this.follow(await this.listen());
    if (this.options.client.isCluster) void this.lookOften();
  }

  private async lookOften(): Promise<void> {
    while (!this.closed) {
      await pause(LOOK_MS, undefined, { ref: false });
      if (this.closed || !this.hub.isWatched) continue;
      // What can't be asked now is asked at the next look.
      const ends = await this.options.knownEnds().catch(() => []);
      for (const [stream, end] of ends) this.grown(stream, end);
    }
  }

  /** Each connection is used until it ends. Listening begins before the look at what was missed. */
  private async follow(first: Listening): Promise<void> {
    let listening: Listening | undefined = first;
    while (!this.closed) {
      await listening?.ended;
      if (this.closed) return;
      listening = await this.listen().catch(() => undefined);
      if (listening === undefined) await pause(ASK_AGAIN_MS, undefined, { ref: false });
      else await this.catchUp();
    }
  }

  private async listen(): Promise<Listening> {
    const { connection, client, keys, onClaimsChanged } = this.options;
    const raw = await connectOnce(connection, client.nodes);
    if (this.closed) raw.disconnect();
    this.raw = raw;
    const ended = new Promise((resolve) => void raw.once("end", resolve));
    raw.on("message", (channel: string, message: string) => {
      if (channel === keys.arrivals) this.take(message);
      else onClaimsChanged(message);
    });
    await raw.subscribe(keys.arrivals, keys.claimsChannel).catch((error: unknown) => {
      raw.disconnect();
      throw error;
    });
    const pings = setInterval(() => void raw.ping().catch(() => raw.disconnect()), PING_MS).unref();
    void ended.then(() => clearInterval(pings));
    return { ended };
  }

  /** Ends that were announced may be reached once more: another server has taken over, with less. */
  forget(): void {
    this.ends.clear();
  }

  grown(stream: Stream, end: number): void {
    const key = streamKey(stream);
    if ((this.ends.get(key) ?? 0) >= end) return;
    this.ends.set(key, end);
    this.hub.announce([stream]);
  }

  private take(message: string): void {
    for (const line of message.split("\n")) {
      const space = line.lastIndexOf(" ");
      this.grown(parseStreamKey(line.slice(0, space)), Number(line.slice(space + 1)));
    }
  }

  /** The other connection may be back later than this one: it is asked until it answers. */
  private async catchUp(): Promise<void> {
    this.forget();
    this.options.onClaimsChanged("");
    while (!this.closed) {
      const streams = await this.options.knownStreams().catch(() => undefined);
      if (streams !== undefined) return this.hub.announce(streams);
      await pause(ASK_AGAIN_MS, undefined, { ref: false });
    }
  }

  close(): void {
    this.closed = true;
    this.hub.close();
    this.raw?.disconnect();
  }
}
