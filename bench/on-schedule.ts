/**
 * Sends requests on schedule over a few connections of its own, as a process of its own, and prints how long each
 * took from when it was due. It does so little for each that a machine of two cores is left to who is measured:
 * general clients that keep a schedule take as much time as the server, and then measure themselves.
 *
 *     node on-schedule.ts '{"url":…,"body":…,"headers":{…},"rate":…,"seconds":…,"connections":…}'
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { OpenLoad } from "./lib/open-loop.ts";
import { quantile } from "./lib/stats.ts";

const TICK_MS = 1;
const HEAD_END = "\r\n\r\n";

class Run {
  readonly tookMs: number[] = [];
  failed = 0;
  readonly #free: Connection[] = [];
  /** When each that found no free connection was due. */
  readonly #late: number[] = [];

  /** Sends what was due at that time, now or as soon as a connection is free. */
  send(dueAt: number): void {
    const connection = this.#free.pop();
    if (connection === undefined) this.#late.push(dueAt);
    else connection.send(dueAt);
  }

  answered(connection: Connection, dueAt: number, status: number): void {
    this.tookMs.push(performance.now() - dueAt);
    if (status !== 202) this.failed++;
    this.isFree(connection);
  }

  isFree(connection: Connection): void {
    const dueAt = this.#late.shift();
    if (dueAt === undefined) this.#free.push(connection);
    else connection.send(dueAt);
  }
}

/** One request at a time. */
class Connection {
  readonly #run: Run;
  readonly #socket: Socket;
  readonly #request: Buffer;
  #dueAt = 0;
  #text = "";

  constructor(run: Run, socket: Socket, request: Buffer) {
    this.#run = run;
    this.#socket = socket;
    this.#request = request;
    socket
      .setNoDelay(true)
      .setEncoding("latin1")
      .on("data", (text: string) => this.#take(text));
    socket.on("close", () => {
      throw new Error("the server closed a connection");
    });
  }

  send(dueAt: number): void {
    this.#dueAt = dueAt;
    this.#socket.write(this.#request);
  }

  #take(text: string): void {
    this.#text += text;
    const headEnd = this.#text.indexOf(HEAD_END);
    if (headEnd < 0) return;
    const length = Number(/content-length: (\d+)/i.exec(this.#text.slice(0, headEnd))?.[1] ?? 0);
    if (this.#text.length < headEnd + HEAD_END.length + length) return;
    const status = Number(this.#text.slice(9, 12));
    this.#text = "";
    this.#run.answered(this, this.#dueAt, status);
  }
}

async function main(load: OpenLoad & { readonly connections: number }): Promise<void> {
  const { hostname, port, pathname } = new URL(load.url);
  const headers = { Host: `${hostname}:${port}`, ...load.headers, "Content-Length": Buffer.byteLength(load.body) };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const request = Buffer.from(`POST ${pathname} HTTP/1.1\r\n${lines.join("")}\r\n${load.body}`);
  const run = new Run();
  for (let i = 0; i < load.connections; i++) {
    const socket = connect(Number(port), hostname);
    await once(socket, "connect");
    run.isFree(new Connection(run, socket, request));
  }
  const total = Math.round(load.rate * load.seconds);
  const startedAt = performance.now();
  let sent = 0;
  while (run.tookMs.length < total) {
    const due = Math.min(total, Math.floor(((performance.now() - startedAt) / 1_000) * load.rate));
    for (; sent < due; sent++) run.send(startedAt + (sent * 1_000) / load.rate);
    await new Promise((done) => setTimeout(done, TICK_MS));
  }
  const of = (q: number): number => quantile(run.tookMs, q);
  const result = { sent, failed: run.failed, p50Ms: of(0.5), p99Ms: of(0.99), maxMs: of(1) };
  process.stdout.write(JSON.stringify(result), () => process.exit(0));
}

await main(JSON.parse(process.argv[2] as string) as OpenLoad & { readonly connections: number });
