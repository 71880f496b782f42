import { once } from "node:events";
import { type AddressInfo, type Server, type Socket, connect, createServer } from "node:net";

/**
 * A TCP proxy on loopback that harms connections on command. What it does to one side of a
 * connection is what a bad network would do; the peers themselves stay unharmed.
 */
export class Proxy {
  readonly #target: () => { readonly host: string; readonly port: number };
  readonly #server: Server;
  readonly #links = new Set<Link>();
  #refusing = false;
  #stalled = false;
  #delayMs = 0;

  constructor(target: () => { readonly host: string; readonly port: number }) {
    this.#target = target;
    this.#server = createServer({ allowHalfOpen: true }, (client) => this.#accept(client));
  }

  async listen(): Promise<void> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get connections(): number {
    return this.#links.size;
  }

  /** Resets every connection, on both sides. New ones are let through. */
  cut(): void {
    for (const link of this.#links) link.reset();
  }

  /** Resets every connection once the target has answered what it was sent, without passing the answer on. */
  cutBeforeReply(): void {
    for (const link of this.#links) link.cutBeforeReply = true;
  }

  /** Resets new connections at once, or lets them through again. */
  refuse(refusing: boolean): void {
    this.#refusing = refusing;
  }

  /** Holds all bytes in both directions, also of new connections; they are passed on when it ends. */
  stall(stalled: boolean): void {
    this.#stalled = stalled;
    for (const link of this.#links) link.stall(stalled);
  }

  /** The target can't be reached until what this resolves with is called. */
  async outage(): Promise<() => Promise<void>> {
    this.refuse(true);
    this.cut();
    return async () => this.refuse(false);
  }

  /** The target answers nothing until what this resolves with is called. */
  async freeze(): Promise<() => Promise<void>> {
    this.stall(true);
    return async () => this.stall(false);
  }

  /** Passes each piece on so much later. */
  delay(ms: number): void {
    this.#delayMs = ms;
    for (const link of this.#links) link.delayMs = ms;
  }

  /** Tells each client that the target will send no more, while its own way stays open. */
  halfClose(): void {
    for (const link of this.#links) link.halfClose();
  }

  async close(): Promise<void> {
    this.cut();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, "close");
  }

  #accept(client: Socket): void {
    client.on("error", () => {});
    if (this.#refusing) {
      client.resetAndDestroy();
      return;
    }
    const link = new Link(client, connect({ ...this.#target(), allowHalfOpen: true }));
    link.delayMs = this.#delayMs;
    this.#links.add(link);
    link.onClose(() => this.#links.delete(link));
    if (this.#stalled) link.stall(true);
  }
}

/** Starts a proxy in front of `target`, which is asked at each connection, so that it may move. */
export async function startProxy(target: () => { readonly host: string; readonly port: number }): Promise<Proxy> {
  const proxy = new Proxy(target);
  await proxy.listen();
  return proxy;
}

class Link {
  readonly #client: Socket;
  readonly #server: Socket;
  delayMs = 0;
  cutBeforeReply = false;

  constructor(client: Socket, server: Socket) {
    this.#client = client;
    this.#server = server;
    for (const socket of [client, server]) socket.on("error", () => this.reset());
    this.#pipe(client, server);
    this.#pipe(server, client);
  }

  onClose(closed: () => void): void {
    this.#client.once("close", closed);
  }

  reset(): void {
    this.#client.resetAndDestroy();
    this.#server.resetAndDestroy();
  }

  stall(stalled: boolean): void {
    for (const socket of [this.#client, this.#server]) {
      if (stalled) socket.pause();
      else socket.resume();
    }
  }

  halfClose(): void {
    this.#client.end();
  }

  #pipe(from: Socket, to: Socket): void {
    // Pieces wait in one chain per direction, so that a delay that shrinks can't turn their order round.
    let last: Promise<void> = Promise.resolve();
    const later = (action: () => void) => {
      const wait = this.delayMs > 0 ? delay(this.delayMs) : undefined;
      last = Promise.all([last, wait]).then(action);
    };
    from.on("data", (piece) => {
      if (from === this.#server && this.cutBeforeReply) this.reset();
      else later(() => to.writable && to.write(piece));
    });
    from.on("end", () => later(() => to.end()));
    from.on("close", () => later(() => to.destroy()));
  }
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
