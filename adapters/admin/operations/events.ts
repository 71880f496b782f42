import { z } from "zod";
import { PulseGateError } from "../../../core/canonical/errors.ts";
import { fateOf } from "../../../core/ingestion/fate.ts";
import { eventOfPath, TENANT } from "../input.ts";
import { operation, param, TextStream } from "../operation.ts";
import { FateSchema, listSchema } from "../schemas.ts";
import { tail } from "../tail.ts";
import { findTenant } from "./tenants.ts";

const findEvents = operation({
  id: "find_events",
  method: "GET",
  path: "/events",
  summary: "Tell the fates of the events with an id; it is unique within one tenant only",
  role: "viewer",
  scope: "tenant",
  query: z.strictObject({ id: z.string("the parameter id is required, once"), ...TENANT }),
  response: listSchema(FateSchema),
  handle: async ({ tenantId, query: { id } }, ports) => {
    const tenants = ports.revision().tenants.filter((one) => tenantId === undefined || one.id === tenantId);
    const items: unknown[] = [];
    for (const { id: tenant } of tenants) {
      const fate = await fateOf(ports, tenant, id);
      if (fate !== undefined) items.push({ tenant, ...fate });
    }
    return { body: { items } };
  },
});

const showEvent = operation({
  id: "show_event",
  method: "GET",
  path: "/events/{tenant}/{event}",
  summary: "Tell what became of an event, by id or position: accepted, and each lane's outcome",
  role: "viewer",
  scope: "tenant",
  response: FateSchema,
  errors: ["not_found"],
  handle: async (call, ports) => {
    const { tenantId, idOrPosition } = eventOfPath(param(call, "tenant"), param(call, "event"));
    const fate = await fateOf(ports, tenantId, idOrPosition);
    if (fate === undefined) throw new PulseGateError("not_found", `tenant ${tenantId} has no event ${idOrPosition}`);
    return { body: { tenant: tenantId, ...fate } };
  },
});

const tailEvents = operation({
  id: "tail_events",
  method: "GET",
  path: "/tenants/{tenant}/tail",
  summary: "Follow a tenant's events live, one canonical event per line, as they become durable",
  description:
    "Ends when the client goes. An empty line now and then keeps the connection. A slow client gets all events, later.",
  role: "viewer",
  scope: "tenant",
  query: z.strictObject({
    type: z.string().optional().describe("Only events of this type."),
  }),
  response: "application/x-ndjson",
  errors: ["not_found", "overloaded"],
  handle: async (call, { reader, clock, ...ports }) => {
    const { id: tenantId, partitions } = findTenant(ports, param(call, "tenant"));
    const { type } = call.query;
    return { body: new TextStream(await tail({ reader, clock, tenantId, partitions, type, signal: call.signal })) };
  },
});

export const EVENT_OPERATIONS = [findEvents, showEvent, tailEvents];
