import type { AddressInfo } from "node:net";
import fastify from "fastify";
import type { FastifyInstance } from "fastify";
import { PulseGateError } from "../../core/canonical/errors.ts";
import type { Clock, Logger } from "../../core/environment.ts";
import type { Ids } from "../../core/canonical/id.ts";
import { traceIdOf } from "../../core/canonical/trace.ts";
import { createReadiness } from "./health.ts";
import type { HealthCheck } from "./health.ts";
import { knownPaths } from "./methods.ts";
import type { AdminPorts } from "./ports.ts";
import { asPulseGateError, sendProblem } from "./reply.ts";
import { addAdminRoutes } from "./routes.ts";

export type { HealthCheck } from "./health.ts";
export type {
  AdminPorts,
  ConfigPort,
  ConfigState,
  RevisionDiff,
  RevisionInfo,
  Trial,
  TrialRequest,
  TrialsPort,
} from "./ports.ts";

export interface OpsOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** What `/readyz` runs: at least the log's probe. */
  readonly checks: readonly HealthCheck[];
  /** Told by `/readyz` beside its checks. */
  readonly details?: (() => Readonly<Record<string, unknown>>) | undefined;
  /** From then on `/readyz` answers 503, so that balancers look elsewhere; `/livez` stays. */
  readonly draining?: (() => boolean) | undefined;
  /** Prometheus text. */
  readonly metrics: () => Promise<string>;
  readonly metricsContentType: string;
  /** Absent where other processes serve the admin API. */
  readonly admin?: AdminPorts | undefined;
  readonly ids: Pick<Ids, "traceId">;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly readyTimeoutMs?: number;
}

export interface OpsServer {
  readonly address: { readonly host: string; readonly port: number };
  /** Answers what is under way, then closes; what is not done by the deadline is cut. */
  close(deadlineMs: number): Promise<void>;
}

const READY_TIMEOUT_MS = 2_000;
const READY_CACHE_MS = 1_000;
const PARAM_LENGTH_MAX = 1_024;

/** The operations port: health, metrics and, the admin API. Rejects when it can't listen. */
export async function startOps(options: OpsOptions): Promise<OpsServer> {
  const app = fastify({
    logger: false,
    bodyLimit: 1_024,
    requestTimeout: 30_000,
    forceCloseConnections: "idle",
    // A request's id is its trace id.
    requestIdHeader: false,
    genReqId: ({ headers }) =>
      (typeof headers.traceparent === "string" ? traceIdOf(headers.traceparent) : undefined) ?? options.ids.traceId(),
    routerOptions: { maxParamLength: PARAM_LENGTH_MAX },
    // What the router can't read never comes to the error handler.
    frameworkErrors: (error, _request, reply) => void sendProblem(reply, asPulseGateError(error)),
  });
  addErrorHandlers(app, options);
  const refuseOtherMethods = knownPaths(app);
  addProbes(app, options);
  refuseOtherMethods();
  if (options.admin !== undefined) await addAdminRoutes(app, options.admin);
  await app.listen({ host: options.host, port: options.port });
  const { address, port } = app.server.address() as AddressInfo;
  return { address: { host: address, port }, close: (deadlineMs) => close(app, options.logger, deadlineMs) };
}

async function close(app: FastifyInstance, logger: Logger, deadlineMs: number): Promise<void> {
  // A request that never ends would keep the server from closing.
  const cut = setTimeout(() => {
    logger.warn({ deadlineMs }, "operations requests were not done in time and are cut");
    app.server.closeAllConnections();
  }, deadlineMs);
  try {
    await app.close();
  } finally {
    clearTimeout(cut);
  }
}

function addErrorHandlers(app: FastifyInstance, { logger, admin }: OpsOptions): void {
  app.setErrorHandler(async (thrown, request, reply) => {
    const error = asPulseGateError(thrown);
    if (error.code === "internal") {
      logger.error({ error: thrown, path: request.url, trace_id: request.id }, "an operations request failed");
    }
    await sendProblem(reply, error);
  });
  app.setNotFoundHandler(async (request, reply) => {
    const isElsewhere = admin === undefined && request.url.startsWith("/admin/");
    const next = isElsewhere ? ": the admin API is with the processes of the roles admin and all" : "";
    await sendProblem(reply, new PulseGateError("not_found", `no ${request.url} here${next}`));
  });
}

function addProbes(app: FastifyInstance, options: OpsOptions): void {
  const readiness = createReadiness({
    checks: options.checks,
    clock: options.clock,
    timeoutMs: options.readyTimeoutMs ?? READY_TIMEOUT_MS,
    cacheMs: READY_CACHE_MS,
  });
  app.get("/livez", async () => ({ status: "ok" }));
  app.get("/readyz", async (_request, reply) => {
    if (options.draining?.() === true) return reply.code(503).send({ status: "draining", checks: [] });
    const result = await readiness();
    if (result.status !== "ready") reply.code(503).header("retry-after", 1);
    return { ...result, ...options.details?.() };
  });
  app.get("/metrics", async (_request, reply) => reply.type(options.metricsContentType).send(await options.metrics()));
}
