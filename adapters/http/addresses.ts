import type { Socket } from "node:net";

/** Counts open connections by the address that they come from. */
export class Addresses {
  readonly #open = new Map<string, number>();

  /** False, and not counted, when the address has as many as it may; counted until the socket closes otherwise. */
  admits(socket: Socket, connectionsMax: number): boolean {
    const address = socket.remoteAddress ?? "";
    const open = this.#open.get(address) ?? 0;
    if (open >= connectionsMax) return false;
    this.#open.set(address, open + 1);
    socket.once("close", () => this.#left(address));
    return true;
  }

  #left(address: string): void {
    const open = (this.#open.get(address) ?? 1) - 1;
    if (open === 0) this.#open.delete(address);
    else this.#open.set(address, open);
  }
}
