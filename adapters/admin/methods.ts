import type { FastifyInstance } from "fastify";
import { PulseGateError } from "../../core/canonical/errors.ts";

/**
 * Watches the routes that are added to this scope from now on. What it returns answers every other
 * method on their paths with 405 and `Allow`, where the router alone would say 404.
 */
export function knownPaths(app: FastifyInstance): () => void {
  const methods = new Map<string, Set<string>>();
  app.addHook("onRoute", (route) => {
    // The scope's prefix is put before the path again when it is registered.
    const known = methods.get(route.routePath) ?? new Set();
    methods.set(route.routePath, known);
    for (const method of [route.method].flat()) known.add(method);
  });
  return () => {
    for (const [path, allowed] of [...methods]) refuseOthers(app, path, [...allowed]);
  };
}

function refuseOthers(app: FastifyInstance, url: string, allowed: readonly string[]): void {
  const allow = allowed.join(", ");
  app.route({
    url,
    method: app.supportedMethods.filter((method) => !allowed.includes(method)),
    // Before the body is read: what it holds does not matter.
    async onRequest(request, reply) {
      reply.header("allow", allow);
      throw new PulseGateError("method_not_allowed", `${request.method} is not allowed here; allowed: ${allow}`);
    },
    handler: () => {},
  });
}
