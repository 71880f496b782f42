import { setTimeout as pause } from "node:timers/promises";
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

const ASK_AGAIN_MS = 100;

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
  private closed = false;

  constructor(options: NoticesOptions) {
    this.options = options;
  }

  async start(): Promise<void> {
    const { connection, keys, onClaimsChanged } = this.options;
    const channels = [keys.arrivals, keys.claimsChannel] as const;
    const raw = await connect(connection);
    this.raw = raw;
    raw.on("message", (channel: string, message: string) => {
      if (channel === keys.arrivals) this.take(message);
      else onClaimsChanged(message);
    });
    await raw.subscribe(...channels);
    // Listening begins before the look at what was missed. Cut again meanwhile: the next "ready" begins anew.
    raw.on("ready", () => {
      raw.subscribe(...channels).then(
        () => this.catchUp(),
        () => undefined,
      );
    });
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
