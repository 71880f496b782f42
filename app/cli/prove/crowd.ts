import { connect } from "node:net";
import type { Socket } from "node:net";

/** Opens so many connections that never end their first request, each again when it is closed; returns what ends them. */
export function startCrowd(url: string, connections: number): () => void {
  const { hostname, port } = new URL(url);
  const sockets = new Set<Socket>();
  let isOver = false;
  const open = (): void => {
    const socket = connect(Number(port || 80), hostname.replace(/^\[(.+)\]$/, "$1"));
    sockets.add(socket);
    socket.on("connect", () => socket.write("POST /v1/events HTTP/1.1\r\nHost: trial\r\n"));
    socket.on("error", () => {});
    socket.on("close", () => {
      sockets.delete(socket);
      if (!isOver) again.add(setTimeout(open, AGAIN_MS));
    });
  };
  const again = new Set<NodeJS.Timeout>();
  for (let n = 0; n < connections; n++) open();
  return () => {
    isOver = true;
    for (const timer of again) clearTimeout(timer);
    for (const socket of sockets) socket.destroy();
  };
}

const AGAIN_MS = 100;
