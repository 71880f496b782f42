import type { FastifyInstance } from "fastify";
import { PulseGateError } from "../../core/canonical/errors.ts";
import { fateOf } from "../../core/ingestion/fate.ts";
import type { Fate } from "../../core/ingestion/fate.ts";
import { laneKey, streamKey } from "../../core/ingestion/log.ts";
import type { StreamBounds } from "../../core/ingestion/log.ts";
import { decodeDeadLetterQuery, decodeEventPath, isAuthorized, parseDeadLetterId } from "./decode.ts";
import { knownPaths } from "./methods.ts";
import type { AdminPorts } from "./ports.ts";
import { configView, deadLetterId, deadLetterJson, deadLetterSummary, laneView, ledgerView } from "./reply.ts";

/**
 * Adds `/admin/v1/…`: reading only, each request with the admin token. The check belongs to the scope,
 * not to the URL's text: a router sees through spellings like `/%61dmin` that a comparison misses.
 */
export async function addAdminRoutes(app: FastifyInstance, ports: AdminPorts): Promise<void> {
  await app.register(
    async (scope) => {
      scope.addHook("onRequest", async (request) => {
        if (isAuthorized(request.headers.authorization, ports.token)) return;
        throw new PulseGateError("unauthenticated", "the admin API needs its own token: Authorization: Bearer …");
      });
      scope.setNotFoundHandler(async (request) => {
        throw new PulseGateError("not_found", `no ${request.url} here`);
      });
      const refuseOtherMethods = knownPaths(scope);
      addRoutes(scope, ports);
      refuseOtherMethods();
    },
    { prefix: "/admin/v1" },
  );
}

function addRoutes(app: FastifyInstance, ports: AdminPorts): void {
  app.get("/events", async (request) => {
    const { id } = request.query as { id?: unknown };
    if (typeof id !== "string") throw new PulseGateError("malformed_request", "the parameter id is required, once");
    return { items: await fatesOfAll(ports, id) };
  });
  app.get<{ Params: { tenant: string; "*": string } }>("/events/:tenant/*", async ({ params }) => {
    const { tenantId, idOrPosition } = decodeEventPath(params.tenant, params["*"]);
    const fate = await fateOf(ports, tenantId, idOrPosition);
    if (fate === undefined) throw new PulseGateError("not_found", `tenant ${tenantId} has no event ${idOrPosition}`);
    return { tenant: tenantId, ...fate };
  });
  addDeadLetterRoutes(app, ports);
  app.get("/lanes", async () => ({ items: await laneViews(ports) }));
  app.get("/ledger", async () => ({ items: (await lanesNow(ports)).map(ledgerView) }));
  app.get("/config", async () => configView(ports.config()));
}

function addDeadLetterRoutes(app: FastifyInstance, { lanes }: AdminPorts): void {
  app.get("/dead-letters", async (request) => {
    const query = decodeDeadLetterQuery(request.query);
    // One more than asked for tells whether there is a next page.
    const letters = await lanes.deadLetters({ ...query, limit: query.limit + 1 });
    const page = letters.slice(0, query.limit);
    const last = page.at(-1);
    const next = letters.length > page.length && last !== undefined ? deadLetterId(last) : null;
    return { items: page.map(deadLetterSummary), next };
  });
  app.get<{ Params: { "*": string } }>("/dead-letters/*", async ({ params }, reply) => {
    const id = parseDeadLetterId(params["*"]);
    const letter = id === undefined ? undefined : await lanes.deadLetter(id.lane, id.sequence);
    if (letter === undefined) throw new PulseGateError("not_found", `there is no dead letter ${params["*"]}`);
    return reply.type("application/json; charset=utf-8").send(deadLetterJson(letter));
  });
}

/** The same id may be known to several tenants: it is unique within one only. */
async function fatesOfAll(ports: AdminPorts, id: string): Promise<Array<Fate & { tenant: string }>> {
  const fates: Array<Fate & { tenant: string }> = [];
  for (const tenant of ports.config().tenantIds) {
    const fate = await fateOf(ports, tenant, id);
    if (fate !== undefined) fates.push({ tenant, ...fate });
  }
  return fates;
}

async function laneViews(ports: AdminPorts) {
  const status = new Map(
    (await ports.laneStatus()).map((one) => [
      laneKey({ stream: { tenantId: one.tenantId, partition: one.partition }, sink: one.sink }),
      one,
    ]),
  );
  return (await lanesNow(ports)).map((now) => laneView(now, status.get(now.key)));
}

async function lanesNow({ lanes, reader }: AdminPorts) {
  const all = await lanes.lanes();
  const bounds = new Map<string, Promise<StreamBounds>>();
  // Asked for after the lanes were read, so that no cursor can lie behind the end.
  for (const { lane } of all) {
    const key = streamKey(lane.stream);
    if (!bounds.has(key)) bounds.set(key, reader.bounds(lane.stream));
  }
  return Promise.all(
    all.map(async ({ lane, state }) => ({
      key: laneKey(lane),
      tenantId: lane.stream.tenantId,
      partition: lane.stream.partition,
      sink: lane.sink,
      state,
      bounds: await (bounds.get(streamKey(lane.stream)) as Promise<StreamBounds>),
    })),
  );
}
