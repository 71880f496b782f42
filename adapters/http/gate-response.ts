import { ServerResponse } from "node:http";
import type { GateRequest } from "./gate-request.ts";
import type { BodySink, ReadyAnswer, WireResponse, WireSource } from "./wire.ts";

/** How much more of a refused body is read before the connection is cut. */
const LINGER_BYTES_MAX = 1024 * 1024;

/** An answer by way of node:http. */
export class GateResponse extends ServerResponse<GateRequest> implements WireResponse {
  get source(): WireSource {
    return this.req.socket;
  }

  get isSent(): boolean {
    return this.writableFinished;
  }

  send({ status, headers, body, isAscii }: ReadyAnswer, closes: boolean): void {
    this.writeHead(status, closes ? closing(headers) : (headers as string[]));
    this.end(body, isAscii ? "latin1" : "utf8");
  }

  /** Closing with unread bytes resets the connection, and the client might never see the answer. */
  sendEarly({ status, headers, body }: ReadyAnswer): void {
    this.writeHead(status, closing(headers));
    this.write(body);
    const { req: request } = this;
    let read = 0;
    const rest: BodySink = {
      take(chunk) {
        read += chunk.length;
        if (read > LINGER_BYTES_MAX) request.destroy();
      },
      end: () => void this.end(),
      gone() {},
    };
    request.sink = rest;
  }

  whenOver(done: () => void): void {
    this.once("close", done);
  }
}

function closing(headers: readonly string[]): string[] {
  return [...headers, "Connection", "close"];
}
