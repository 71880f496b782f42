import { once } from "node:events";
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";

export interface Received {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The connection's number, from 1 in order of opening. */
  readonly connection: number;
}

/** Answers a request that was read whole. Undefined: 204. */
export type Answering = (request: Received, response: ServerResponse) => void;

/** An HTTP endpoint on loopback that does what a test says, and remembers what it was sent. */
export class Endpoint {
  readonly #server: Server;
  /** Requests in order of arrival, whatever they were answered. */
  readonly received: Received[] = [];
  /** Those that were answered with success. */
  readonly taken: Received[] = [];
  answer: Answering | undefined;
  #connections = 0;

  constructor(tls?: { readonly key: Buffer; readonly cert: Buffer }) {
    const listener: RequestListener = (request, response) => void this.#take(request, response);
    this.#server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
    this.#server.on("connection", (socket) => {
      this.#connections += 1;
      numbers.set(socket, this.#connections);
    });
    this.#server.on("secureConnection", (socket) => numbers.set(socket, this.#connections));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get connections(): number {
    return this.#connections;
  }

  async listen(port = 0): Promise<void> {
    this.#server.listen(port, "127.0.0.1");
    await once(this.#server, "listening");
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const pieces: Buffer[] = [];
    try {
      for await (const piece of request) pieces.push(piece as Buffer);
    } catch {
      return;
    }
    const { method = "", url: path = "", headers } = request;
    const connection = numbers.get(request.socket) ?? 0;
    const received: Received = { method, path, headers, body: Buffer.concat(pieces), connection };
    this.received.push(received);
    response.once("finish", () => {
      if (response.statusCode < 300 && method === "POST") this.taken.push(received);
    });
    if (this.answer === undefined) response.writeHead(204).end();
    else this.answer(received, response);
  }
}

const numbers = new WeakMap<object, number>();

/** On a free port, or the one asked for. */
export async function startEndpoint(tls?: { readonly key: Buffer; readonly cert: Buffer }): Promise<Endpoint> {
  const endpoint = new Endpoint(tls);
  await endpoint.listen();
  return endpoint;
}
