import { once } from "node:events";
import { createServer, type Server } from "node:net";

/**
 * Below those that systems give to outgoing connections: a server that is killed finds its own free when it is
 * started again.
 */
const [PORT_MIN, PORT_MAX] = [20_000, 32_000] as const;

/** Free on loopback just now: for processes that are started again on the same ones. */
export async function freePorts(count: number): Promise<number[]> {
  const held = new Map<number, Server>();
  while (held.size < count) {
    const port = PORT_MIN + Math.floor(Math.random() * (PORT_MAX - PORT_MIN));
    const server = createServer();
    // Taken, by another or by this.
    const isFree = await once(server.listen(port, "127.0.0.1"), "listening").catch(() => undefined);
    if (isFree !== undefined) held.set(port, server);
  }
  for (const server of held.values()) await once(server.close(), "close");
  return [...held.keys()];
}
