import type { Server } from "node:http";
import type { Socket } from "node:net";
import type { Clock } from "../../core/environment.ts";
import type { Exchange, ExchangeScope } from "./exchange.ts";
import { onClientError } from "./connection-errors.ts";
import type { PlainScope } from "./plain-connection.ts";
import { PlainConnection } from "./plain-connection.ts";
import type { PlainRequest } from "./plain-request.ts";
import type { WireResponse } from "./wire.ts";

const SWEEP_MS = 500;

export interface PlainConnectionsOptions {
  readonly scope: ExchangeScope;
  /** Its deadlines hold here as well. */
  readonly server: Pick<Server, "headersTimeout" | "keepAliveTimeout" | "keepAliveTimeoutBuffer">;
  readonly begin: PlainScope["begin"];
  readonly handOver: PlainScope["handOver"];
}

/** The connections that are not node:http's, and their deadlines. One timer for all. */
export class PlainConnections implements PlainScope {
  readonly #options: PlainConnectionsOptions;
  readonly #clock: Clock;
  readonly #ended = new AbortController();
  readonly #open = new Set<PlainConnection>();
  #second = Number.NaN;
  #date = "";

  constructor(options: PlainConnectionsOptions) {
    this.#options = options;
    this.#clock = options.scope.clock;
    void this.#run();
  }

  take(socket: Socket): void {
    this.#open.add(new PlainConnection(socket, this));
  }

  gone(connection: PlainConnection): void {
    this.#open.delete(connection);
  }

  begin(request: PlainRequest, response: WireResponse): Exchange {
    return this.#options.begin(request, response);
  }

  handOver(socket: Socket): void {
    this.#options.handOver(socket);
  }

  monotonic(): number {
    return this.#clock.monotonic();
  }

  headersKeptAlive(): string {
    const { keepAliveTimeout } = this.#options.server;
    const timeout = keepAliveTimeout > 0 ? `Keep-Alive: timeout=${Math.floor(keepAliveTimeout / 1000)}\r\n` : "";
    return `Date: ${this.#now()}\r\nConnection: keep-alive\r\n${timeout}`;
  }

  headersClosing(): string {
    return `Connection: close\r\nDate: ${this.#now()}\r\n`;
  }

  /** Made once a second. */
  #now(): string {
    const second = Math.floor(this.#clock.now() / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#date = new Date(second * 1000).toUTCString();
    }
    return this.#date;
  }

  /** Ends those on which nothing is under way. */
  closeIdle(): void {
    for (const connection of this.#open) if (connection.isResting) connection.socket.destroy();
  }

  closeAll(): void {
    for (const { socket } of this.#open) socket.destroy();
  }

  /** Ends the checks of deadlines. */
  close(): void {
    this.#ended.abort();
  }

  async #run(): Promise<void> {
    while (!this.#ended.signal.aborted) {
      await this.#clock.sleep(SWEEP_MS, this.#ended.signal);
      const now = this.#clock.monotonic();
      for (const connection of this.#open) this.#check(connection, now);
    }
  }

  #check(connection: PlainConnection, now: number): void {
    const { headersTimeout, keepAliveTimeout, keepAliveTimeoutBuffer } = this.#options.server;
    // A client that has not taken its answer yet is not idle.
    if (!connection.isResting || !connection.isSent) connection.restsSinceMs = now;
    const restedMs = now - connection.restsSinceMs;
    const { socket } = connection;
    if (connection.isUsed) {
      if (keepAliveTimeout > 0 && restedMs >= keepAliveTimeout + keepAliveTimeoutBuffer) socket.destroy();
    } else if (headersTimeout > 0 && restedMs >= headersTimeout) {
      onClientError(SILENT, socket, this.#options.scope);
    }
  }
}

/** As node:http says it. */
const SILENT: NodeJS.ErrnoException = Object.assign(new Error("no request came"), {
  code: "ERR_HTTP_REQUEST_TIMEOUT",
});
