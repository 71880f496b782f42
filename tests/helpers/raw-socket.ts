import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** A TCP client that sends exactly what it is told, for requests that no HTTP client would make. */
export class RawSocket {
  readonly socket: Socket;
  received = "";
  closed = false;
  private change = Promise.withResolvers<void>();

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => {
      this.received += chunk;
      this.announce();
    });
    socket.on("close", () => {
      this.closed = true;
      this.announce();
    });
    // A reset is an end like any other to a test that looks at what was received.
    socket.on("error", () => {});
  }

  private announce(): void {
    this.change.resolve();
    this.change = Promise.withResolvers();
  }

  send(text: string | Uint8Array): this {
    this.socket.write(text);
    return this;
  }

  /** Resolves when what was received so far satisfies the condition; rejects when the other side ends before. */
  async until(condition: (received: string) => boolean): Promise<string> {
    while (!condition(this.received)) {
      if (this.closed) throw new Error(`the connection ended; received: ${JSON.stringify(this.received)}`);
      await this.change.promise;
    }
    return this.received;
  }

  /** Resolves with all that was received, once the other side has ended. */
  async ended(): Promise<string> {
    while (!this.closed) await this.change.promise;
    return this.received;
  }
}

/** `from`: the local address, for what looks at where a connection comes from. */
export async function rawSocket(port: number, from = "127.0.0.1"): Promise<RawSocket> {
  const socket = connect({ port, host: "127.0.0.1", localAddress: from, noDelay: true });
  await once(socket, "connect");
  return new RawSocket(socket);
}

/** The text of a request with the shop's key. */
export function rawPost(body: string, headers: readonly string[] = [], path = "/v1/events"): string {
  const head = [
    `POST ${path} HTTP/1.1`,
    "Host: x",
    "X-API-Key: shop-key",
    "Content-Type: application/json",
    ...headers,
  ];
  const length = headers.some((header) => /^(content-length|transfer-encoding):/i.test(header));
  if (!length) head.push(`Content-Length: ${Buffer.byteLength(body)}`);
  return `${head.join("\r\n")}\r\n\r\n${body}`;
}

/** The status of each answer in a received text. */
export function statuses(received: string): number[] {
  return [...received.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => Number(match[1]));
}
