import { IncomingMessage } from "node:http";
import type { BodySink, WireRequest } from "./wire.ts";

/**
 * A request whose body goes from the HTTP parser straight to its sink, or nowhere: node:http hands it
 * over by `push`, and the events and ticks of a stream cost more than all else that is done with a small body.
 */
export class GateRequest extends IncomingMessage implements WireRequest {
  sink: BodySink | undefined = undefined;
  /** Told to node:http, which then lets go of the request once it is answered. */
  override readableEnded = false;

  /** Always true: a sink takes what comes. */
  override push(chunk: Buffer | null): boolean {
    if (chunk === null) {
      this.readableEnded = true;
      this.sink?.end();
    } else this.sink?.take(chunk);
    return true;
  }

  /** There is never anything to read. */
  override read(): null {
    return null;
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    super._destroy(error, done);
    if (!this.complete) this.sink?.gone();
  }
}
