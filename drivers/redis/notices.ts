import type { Cluster, Redis } from "ioredis";
import { ArrivalHub } from "../arrivals.ts";
import { type Stream, type StreamKey, streamKey } from "../../core/ingestion/log.ts";
import { type ConnectOptions, connect } from "./connect.ts";
import type { Keys } from "./keys.ts";
import { parseStreamKey } from "./reader.ts";

export interface NoticesOptions {
  readonly connection: ConnectOptions;
  readonly keys: Keys;
  /** All streams, asked for when notices may have been missed. */
  readonly knownStreams: () => Promise<readonly Stream[]>;
  readonly onClaimsChanged: (by: string) => void;
}

/**
 * A connection that is told of new entries and of changed claims by whoever makes them. What it may have missed
 * while it was cut off it makes good: every stream is announced when it is back.
 */
export class Notices {
  readonly hub = new ArrivalHub();
  private readonly options: NoticesOptions;
  /** How far each stream was announced: one append may be told of twice, by its caller and by the server. */
  private readonly ends = new Map<StreamKey, number>();
  private raw: Redis | Cluster | undefined;

  constructor(options: NoticesOptions) {
    this.options = options;
  }

  async start(): Promise<void> {
    const { connection, keys, onClaimsChanged } = this.options;
    const raw = await connect(connection);
    this.raw = raw;
    raw.on("message", (channel: string, message: string) => {
      if (channel === keys.arrivals) this.take(message);
      else onClaimsChanged(message);
    });
    await raw.subscribe(keys.arrivals, keys.claimsChannel);
    // ioredis subscribes again by itself before it is ready.
    raw.on("ready", () => void this.catchUp());
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

  private async catchUp(): Promise<void> {
    this.options.onClaimsChanged("");
    // When Redis can't be asked now, its connection is cut again, and the next "ready" asks anew.
    const streams = await this.options.knownStreams().catch(() => []);
    this.hub.announce(streams);
  }

  close(): void {
    this.hub.close();
    this.raw?.disconnect();
  }
}
