import { createServer } from "node:http";
import type { Server } from "node:http";
import { Server as NetServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import type { Ids } from "../../core/canonical/id.ts";
import type { Clock, Logger } from "../../core/environment.ts";
import type { Admission } from "../../core/ingestion/admit.ts";
import type { Ingestor } from "../../core/ingestion/ingest.ts";
import type { IngestMetrics } from "../../core/ingestion/metrics.ts";
import type { Limits } from "../../core/ingestion/revision.ts";
import type { Capacity } from "../../core/qps/capacity.ts";
import type { Door } from "../../core/qps/door.ts";
import type { ExchangeScope } from "./exchange.ts";
import { Exchange } from "./exchange.ts";
import type { FateLookup } from "./fate.ts";
import type { HandlerPorts } from "./handle.ts";
import { GateRequest } from "./gate-request.ts";
import { GateResponse } from "./gate-response.ts";
import { handle } from "./handle.ts";
import { Addresses } from "./addresses.ts";
import { PacedRefusals } from "./paced-refusals.ts";
import { PlainConnections } from "./plain-connections.ts";
import { SlowBodies } from "./slow-bodies.ts";
import { onClientError, track } from "./connection-errors.ts";

export type { FateLookup } from "./fate.ts";

export interface HttpOptions {
  readonly host: string;
  /** 0 for any free one. */
  readonly port: number;
  readonly ingestor: Ingestor;
  readonly admission: Admission;
  readonly fate: FateLookup;
  readonly door: Door;
  readonly capacity: Capacity;
  /** Asked at each request: a new revision's limits count from the next one on. */
  readonly limits: () => Limits;
  readonly ids: Ids;
  readonly logger: Logger;
  readonly metrics: IngestMetrics;
  readonly clock: Clock;
  /** Plain requests are read without node:http, unless this is false. What is answered is the same. */
  readonly readsPlain?: boolean;
}

export interface HttpAdapter {
  readonly address: { readonly host: string; readonly port: number };
  /**
   * Stops accepting; what is under way is answered, with `Connection: close`. Resolves when all
   * connections are gone; those that are not by the deadline are cut.
   */
  drain(deadlineMs: number): Promise<void>;
}

const HEADER_BYTES_MAX = 16 * 1024;
/** How often deadlines of connections are looked at: that much later they may take effect. */
const DEADLINE_CHECK_MS = 500;

/** Starts the data port. Rejects when it can't listen (`EADDRINUSE`, `EACCES`, …). */
export async function startHttp(options: HttpOptions): Promise<HttpAdapter> {
  const { clock, ids, logger, metrics, capacity, limits } = options;
  const slowBodies = new SlowBodies(clock, () => limits().bodyBytesPerSecondMin);
  const pacedRefusals = new PacedRefusals(clock);
  const shared = { clock, ids, logger, metrics, capacity };
  const scope: ExchangeScope = { ...shared, slowBodies, pacedRefusals, draining: false };
  const server: GateServer = createServer({
    IncomingMessage: GateRequest,
    ServerResponse: GateResponse,
    maxHeaderSize: HEADER_BYTES_MAX,
    connectionsCheckingInterval: DEADLINE_CHECK_MS,
  });
  const plain = serve(server, scope, options);
  const close = () => {
    slowBodies.close();
    plain.close();
  };
  await listening(server, options).catch((error: unknown) => {
    close();
    throw error;
  });
  // Out of file descriptors and the like: this connection is lost, the others go on.
  server.on("error", (err) => logger.error({ err }, "a connection could not be accepted"));
  const { address: host, port } = server.address() as AddressInfo;
  const drainable = { server, scope, plain, close };
  return { address: { host, port }, drain: (deadlineMs) => drain(drainable, deadlineMs) };
}

type GateServer = Server<typeof GateRequest, typeof GateResponse>;

function serve(server: GateServer, scope: ExchangeScope, options: HttpOptions): PlainConnections {
  const { ingestor, admission, fate, limits, door } = options;
  const ports: HandlerPorts = { ingestor, admission, fate, limits, door };
  const onRequest = (continues: boolean) => (request: GateRequest, response: GateResponse) => {
    const exchange = new Exchange(request, response, scope);
    exchange.continues = continues;
    track(request.socket, exchange);
    handled(exchange, ports);
  };
  applyLimits(server, limits());
  // What node:http does with a connection is its own listener: it gets those that are not plain.
  const [byNode] = server.listeners("connection") as [(this: GateServer, socket: Socket) => void];
  server.removeAllListeners("connection");
  const handOver = (socket: Socket) => byNode.call(server, socket);
  const plain = new PlainConnections({
    scope,
    server,
    begin: (request, response) => handled(new Exchange(request, response, scope), ports),
    handOver,
  });
  const addresses = new Addresses();
  server.on("connection", (socket) => {
    applyLimits(server, limits());
    if (addresses.admits(socket, limits().connectionsPerAddressMax)) {
      if (options.readsPlain === false) handOver(socket);
      else plain.take(socket);
      return;
    }
    scope.metrics.backpressure(undefined, "connections_per_address");
    socket.destroy();
  });
  server.on("request", onRequest(false));
  server.on("checkContinue", onRequest(true));
  server.on("clientError", (error, socket) =>
    onClientError(error, socket as Parameters<typeof onClientError>[1], scope),
  );
  server.on("drop", () => scope.metrics.backpressure(undefined, "connections"));
  return plain;
}

function handled(exchange: Exchange, ports: HandlerPorts): Exchange {
  try {
    handle(exchange, ports);
  } catch (error) {
    exchange.fail(error);
  }
  return exchange;
}

function applyLimits(server: GateServer, limits: Limits): void {
  server.headersTimeout = limits.headerTimeoutMs;
  server.requestTimeout = limits.headerTimeoutMs + limits.bodyTimeoutMs;
  server.keepAliveTimeout = limits.keepAliveTimeoutMs;
  server.maxConnections = limits.connectionsMax;
}

function listening(server: GateServer, { host, port }: HttpOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, backlog: LISTEN_BACKLOG }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

const LISTEN_BACKLOG = 1024;
/** Kept-alive connections may still bring a request: they get its answer instead of a reset. */
const IDLE_GRACE_MS = 250;

interface Drainable {
  readonly server: GateServer;
  readonly scope: ExchangeScope;
  readonly plain: PlainConnections;
  /** Ends the checks of deadlines that are our own. */
  readonly close: () => void;
}

async function drain({ server, scope, plain, close }: Drainable, deadlineMs: number): Promise<void> {
  scope.draining = true;
  scope.pacedRefusals.close();
  const deadline = new AbortController();
  const closed = new Promise<void>((resolve) => {
    // http's own close() would cut idle connections at once; net's only stops listening.
    NetServer.prototype.close.call(server, () => resolve());
  });
  const cut = async () => {
    const graceMs = Math.min(IDLE_GRACE_MS, deadlineMs);
    await scope.clock.sleep(graceMs, deadline.signal);
    server.closeIdleConnections();
    plain.closeIdle();
    await scope.clock.sleep(deadlineMs - graceMs, deadline.signal);
    if (deadline.signal.aborted) return;
    scope.logger.warn({ deadlineMs }, "requests were not done in time and are cut");
    server.closeAllConnections();
    plain.closeAll();
  };
  const cutting = cut();
  await closed;
  deadline.abort();
  await cutting;
  close();
  // Ends node:http's checks of deadlines, which hold nothing but a timer now.
  server.close();
}
