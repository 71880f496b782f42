import { Readable } from "node:stream";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import { PulseGateError } from "../../core/canonical/errors.ts";
import { IDEMPOTENCY_KEY_PATTERN } from "../../core/canonical/event.ts";
import { authenticate, authorize } from "./auth.ts";
import type { Principal } from "./auth.ts";
import { badInput, decode } from "./input.ts";
import { knownPaths } from "./methods.ts";
import { openApiText } from "./openapi.ts";
import { JsonText, TextStream } from "./operation.ts";
import type { Answer, Call, Operation } from "./operation.ts";
import { OPERATIONS } from "./operations/index.ts";
import type { AdminPorts } from "./ports.ts";

const BODY_BYTES_MAX = 64 * 1024;
/** It tells nothing of this instance. */
const DOCUMENT_URL = "/admin/v1/openapi.json";

/**
 * Adds `/admin/v1/…`, each request with a token of the admin API. The check belongs to the scope, not to
 * the URL's text: a router sees through spellings like `/%61dmin` that a comparison misses.
 */
export async function addAdminRoutes(app: FastifyInstance, ports: AdminPorts): Promise<void> {
  await app.register(
    async (scope) => {
      for (const type of ["application/yaml", "text/yaml"]) {
        scope.addContentTypeParser(type, { parseAs: "string" }, async (_request: unknown, body: unknown) => body);
      }
      const parseJson = scope.getDefaultJsonParser("error", "error");
      scope.addContentTypeParser<string>("application/json", { parseAs: "string" }, (request, body, done) => {
        // Many clients name a type whether they send a body or not.
        if (body === "") done(null, undefined);
        else void parseJson(request, body, done);
      });
      // Before the body is read: who may not come in can't make us read it either.
      scope.addHook("onRequest", async (request) => {
        if (request.routeOptions.url !== DOCUMENT_URL || request.method !== "GET") principalOf(request, ports);
      });
      scope.setNotFoundHandler(async (request) => {
        throw new PulseGateError("not_found", `no ${request.url} here`);
      });
      const refuseOtherMethods = knownPaths(scope);
      const document = openApiText(OPERATIONS);
      scope.get("/openapi.json", async (_request, reply) => reply.type("application/json").send(document));
      for (const one of OPERATIONS) addOperation(scope, one, ports);
      refuseOtherMethods();
    },
    { prefix: "/admin/v1" },
  );
}

function addOperation(scope: FastifyInstance, one: Operation, ports: AdminPorts): void {
  const { method, path, bodyBytesMax } = one;
  scope.route({
    method,
    url: path.replaceAll(/\{(\w+)\}/g, ":$1"),
    bodyLimit: bodyBytesMax ?? BODY_BYTES_MAX,
    onRequest: async (request) => {
      const who = principalOf(request, ports);
      authorize(who, { role: one.role, scope: one.scope, tenantId: namedTenant(request) });
    },
    handler: async (request, reply) => {
      const answer = await one.handle(callOf(one, request, reply, ports), ports);
      return send(reply, one, answer);
    },
  });
}

function principalOf(request: FastifyRequest, { tokens }: AdminPorts): Principal {
  const known = tokens();
  if (known.length === 0) {
    throw new PulseGateError("not_found", "the admin API is off: set ops.tokens in the configuration");
  }
  const who = authenticate(request.headers.authorization, known);
  if (who !== undefined) return who;
  throw new PulseGateError("unauthenticated", "the admin API needs its own token: Authorization: Bearer …");
}

function namedTenant({ params, query }: FastifyRequest): string | undefined {
  const inPath = (params as { tenant?: string }).tenant;
  const inQuery = (query as { tenant?: unknown }).tenant;
  return inPath ?? (typeof inQuery === "string" ? inQuery : undefined);
}

function callOf(one: Operation, request: FastifyRequest, reply: FastifyReply, ports: AdminPorts): Call<never, never> {
  const who = principalOf(request, ports);
  const gone = new AbortController();
  reply.raw.once("close", () => gone.abort());
  return {
    who,
    address: request.ip,
    tenantId: namedTenant(request) ?? who.tenantId,
    params: request.params as Record<string, string>,
    query: decode(one.query ?? z.strictObject({}), request.query, "query") as never,
    body: bodyOf(one, request) as never,
    ifMatch: ifMatchOf(one, request),
    idempotencyKey: idempotencyKeyOf(request),
    signal: gone.signal,
  };
}

function bodyOf({ body }: Operation, request: FastifyRequest): unknown {
  if (body === undefined) return undefined;
  if (body !== "yaml") return decode(body, request.body ?? {}, "body");
  if (typeof request.body === "string") return request.body;
  throw new PulseGateError("unsupported_media_type", "send the configuration as it is, as application/yaml");
}

function ifMatchOf({ ifMatch: wanted }: Operation, { headers }: FastifyRequest): number | undefined {
  if (wanted === undefined) return undefined;
  const given = headers["if-match"];
  if (given === undefined || given === "*") {
    if (wanted === "optional" || given === "*") return undefined;
    throw new PulseGateError("precondition_required", "send If-Match with the ETag that you have seen, or *");
  }
  const [, version] = /^"(\d{1,15})"$/.exec(given) ?? [];
  if (version !== undefined) return Number(version);
  throw new PulseGateError("precondition_failed", `no version has the ETag ${given}`);
}

/** A structured-field string; the bare form is taken, too. */
function idempotencyKeyOf({ headers }: FastifyRequest): string | undefined {
  const given = headers["idempotency-key"];
  if (given === undefined) return undefined;
  const text = typeof given === "string" ? (/^"(.*)"$/.exec(given)?.[1] ?? given) : "";
  if (IDEMPOTENCY_KEY_PATTERN.test(text)) return text;
  throw badInput("", "Idempotency-Key is 1 to 255 printable ASCII characters");
}

function send(reply: FastifyReply, one: Operation, { body, version }: Answer): FastifyReply {
  reply.code(one.status ?? 200);
  if (version !== undefined) reply.header("etag", `"${version}"`);
  if (body instanceof TextStream) {
    const type = typeof one.response === "string" ? one.response : "text/plain";
    return reply.type(type).header("cache-control", "no-store").send(Readable.from(body.lines));
  }
  if (body instanceof JsonText) return reply.type("application/json; charset=utf-8").send(body.text);
  return reply.send(body);
}
