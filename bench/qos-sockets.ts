import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import type { IngestOptions } from "./ingest.ts";
import { eventJson } from "./lib/events.ts";
import { startPulseGate, type Target } from "./lib/pulsegate.ts";
import { median, round } from "./lib/stats.ts";
import { wrk } from "./lib/wrk.ts";

const SOCKETS = 5_000;
/** Opened at one time: the queue of connections not accepted yet is no part of what is measured. */
const AT_ONCE = 100;
const CONNECTIONS = 16;
const DRIP_MS = 1_000;

/** p99 of others at a steady load while thousands of sockets send a head that never ends, a line a second each. */
export async function slowSockets({ rounds, seconds }: IngestOptions): Promise<unknown> {
  const gate = await startPulseGate();
  try {
    const headers = { ...gate.headers, "Content-Type": "application/json" };
    const load = { url: `${gate.url}/v1/events`, body: eventJson(1024), headers, connections: CONNECTIONS, seconds };
    await wrk(load);
    const samples: Array<{ quiet: number; during: number; open: number }> = [];
    for (let i = 0; i < rounds; i++) {
      const before = await wrk(load);
      const crowd = await open(gate);
      const during = await wrk(load);
      const left = await crowd.close();
      await pause(DRIP_MS);
      const after = await wrk(load);
      samples.push({ quiet: Math.max(before.p99Ms, after.p99Ms), during: during.p99Ms, open: left });
    }
    const of = (what: (sample: (typeof samples)[number]) => number): number => round(median(samples.map(what)));
    return {
      sockets: SOCKETS,
      // The rest had run into the deadline of a head.
      openAtTheEnd: of(({ open: left }) => left),
      quietP99Ms: of(({ quiet }) => quiet),
      duringP99Ms: of(({ during }) => during),
      ratio: of(({ quiet, during }) => during / quiet),
      owedRatioMax: 1.2,
    };
  } finally {
    await gate.stop();
  }
}

async function open({ url }: Target): Promise<{ close(): Promise<number> }> {
  const { hostname, port } = new URL(url);
  const sockets: Socket[] = [];
  while (sockets.length < SOCKETS) {
    const some = Array.from({ length: AT_ONCE }, () => connect(Number(port), hostname));
    for (const socket of some) socket.on("error", () => socket.destroy());
    await Promise.all(some.map((socket) => once(socket, "connect")));
    for (const socket of some) socket.write("POST /v1/events HTTP/1.1\r\nHost: slow\r\n");
    sockets.push(...some);
  }
  const drip = setInterval(() => {
    for (const socket of sockets) if (!socket.destroyed) socket.write("X-Slow: 1\r\n");
  }, DRIP_MS);
  return {
    async close() {
      clearInterval(drip);
      const left = sockets.filter((socket) => !socket.destroyed && !socket.readableEnded);
      for (const socket of sockets) socket.destroy();
      return left.length;
    },
  };
}
