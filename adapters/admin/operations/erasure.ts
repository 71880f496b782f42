import { z } from "zod";
import { type Chosen, chooseEvents, eraseEvents } from "../../../core/ingestion/erasure.ts";
import { ConditionError } from "../../../core/router/condition.ts";
import { changeAudited } from "../change.ts";
import { badInput, TimeInput } from "../input.ts";
import { operation, param } from "../operation.ts";
import { findTenant } from "./tenants.ts";

const Body = z
  .strictObject({
    ids: z.array(z.string().min(1)).min(1).max(10_000).optional().describe("These events, by id; alone."),
    subject: z
      .strictObject({
        path: z.array(z.string()).min(1).max(64).describe("Member names from the payload on, outermost first."),
        equals: z.union([z.string(), z.number()]),
      })
      .optional()
      .describe("Events whose payload has this value there."),
    filter: z.string().min(1).max(10_000).optional().describe("Events that fit this condition, written as a route's."),
    received_from: TimeInput.optional().describe("Accepted at this time or later."),
    received_to: TimeInput.optional().describe("Accepted before this time."),
    dry_run: z.boolean().default(false).describe("Only count."),
    reason: z.string().min(1).max(1_000),
  })
  .refine(
    ({ ids, subject, filter }) => (ids ?? subject ?? filter) !== undefined,
    "say which: ids, a subject or a filter",
  )
  .refine(
    ({ ids, subject, filter, received_from, received_to }) =>
      ids === undefined || (subject ?? filter ?? received_from ?? received_to) === undefined,
    "ids are named alone",
  );

const eraseOperation = operation({
  id: "erase_events",
  method: "POST",
  path: "/tenants/{tenant}/events/erase",
  summary: "Take the payloads of events out of the log and the dead letters, for good",
  description:
    "What stays of an event is its id, its type and its times; lanes that have not delivered it pass over it and count it as erased. What a sink has, it keeps. Without ids all of the tenant's events are looked at, in the time range if one is given. `selected` counts those that fit and were not erased before.",
  role: "admin",
  scope: "tenant",
  body: Body,
  response: z.strictObject({ selected: z.int(), erased: z.int(), dead_letters: z.int() }),
  errors: ["not_found"],
  handle: async (call, ports) => {
    const tenant = findTenant(ports, param(call, "tenant"));
    const { ids, subject, filter, received_from: receivedFrom, received_to: receivedTo, dry_run, reason } = call.body;
    const streams = Array.from({ length: tenant.partitions }, (_, partition) => ({ tenantId: tenant.id, partition }));
    const selection = { ids, subject, filter, receivedFrom, receivedTo };
    const chosen = await chooseEvents(ports, { streams, selection }).catch((error: unknown) => {
      throw error instanceof ConditionError ? badInput("/filter", error.message) : error;
    });
    const selected = countOf(chosen);
    if (dry_run) return { body: { selected, erased: 0, dead_letters: 0 } };
    return changeAudited(call, ports, {
      action: "erase_events",
      target: `tenants/${tenant.id}/events`,
      tenantId: tenant.id,
      reason,
      // Neither the value nor the condition: they may be the very thing that is to be forgotten.
      before: { ids, subject: subject?.path, filtered: filter !== undefined, selected },
      make: async () => {
        const { events, deadLetters } = await eraseEvents(ports, { chosen, at: ports.clock.now() });
        await ports.workers.reread(tenant.id);
        return {
          body: { selected, erased: events, dead_letters: deadLetters },
          after: { erased: events, deadLetters },
        };
      },
    });
  },
});

function countOf(chosen: readonly Chosen[]): number {
  return chosen.reduce((sum, { sequences }) => sum + sequences.length, 0);
}

export const ERASURE_OPERATIONS = [eraseOperation];
