import { z } from "zod";
import { timestamp } from "../../../core/canonical/codec.ts";
import { PulseGateError } from "../../../core/canonical/errors.ts";
import { discardAll, DISCARDED } from "../../../core/ingestion/dead-letters.ts";
import type { DeadLetterGroup } from "../../../core/ingestion/log.ts";
import { changeAudited } from "../change.ts";
import { NOT_A_CURSOR, PAGE, pageOf, parseDeadLetterId, TENANT, TimeInput } from "../input.ts";
import { JsonText, operation, param } from "../operation.ts";
import { DeadLetterSchema, DeadLetterWhole, GroupSchema, pageSchema } from "../schemas.ts";
import { deadLetterId, deadLetterJson, deadLetterSummary } from "../views.ts";
import { findTenant } from "./tenants.ts";

const GROUP = {
  sink: z.string().optional().describe("Of this sink only."),
  stage: z.string().optional().describe("Of this stage only."),
  fingerprint: z.string().optional().describe("Of this kind only: see the groups."),
  event_type: z.string().optional().describe("Of this event type only."),
};
const TIMES = {
  received_from: TimeInput.optional().describe("Accepted at this time or later."),
  received_to: TimeInput.optional().describe("Accepted before this time."),
};

const listDeadLetters = operation({
  id: "list_dead_letters",
  method: "GET",
  path: "/dead-letters",
  summary: "List events that a lane gave up on",
  role: "viewer",
  scope: "tenant",
  query: z.strictObject({
    ...TENANT,
    ...GROUP,
    ...TIMES,
    ...PAGE,
    after: PAGE.after.refine((text) => text === undefined || parseDeadLetterId(text) !== undefined, NOT_A_CURSOR),
  }),
  response: pageSchema(DeadLetterSchema),
  handle: async ({ tenantId, query }, { lanes }) => {
    const { limit } = query;
    const after = query.after === undefined ? undefined : parseDeadLetterId(query.after);
    // One more than asked for tells whether there is a next page.
    const letters = await lanes.deadLetters({ ...filterOf(query), tenantId, after, limit: limit + 1 });
    const page = letters.slice(0, limit);
    const last = page.at(-1);
    const next = letters.length > page.length && last !== undefined ? deadLetterId(last) : null;
    return { body: { items: page.map(deadLetterSummary), next } };
  },
});

const listGroups = operation({
  id: "list_dead_letter_groups",
  method: "GET",
  path: "/dead-letters/groups",
  summary: "Count dead letters by what went wrong, with the first and the last of each kind",
  description:
    "`first_at` and `last_at` are when the first and the last of the kind died, whatever time is asked for: since when it goes wrong. A redrive that fails again does not move `first_at`.",
  role: "viewer",
  scope: "tenant",
  query: z.strictObject({ ...TENANT, ...GROUP, ...TIMES, ...PAGE }),
  response: pageSchema(GroupSchema),
  handle: async ({ tenantId, query }, { lanes }) => {
    const groups = await lanes.deadLetterGroups({ ...filterOf(query), tenantId });
    const page = pageOf(groups, (one) => `${one.tenantId}/${one.sink}/${one.fingerprint}`, query);
    return { body: { ...page, items: page.items.map(groupView) } };
  },
});

const showDeadLetter = operation({
  id: "show_dead_letter",
  method: "GET",
  path: "/dead-letters/{tenant}/{partition}/{sink}/{sequence}",
  summary: "Show a dead letter whole, its event byte for byte",
  role: "viewer",
  scope: "tenant",
  response: DeadLetterWhole,
  errors: ["not_found"],
  handle: async (call, { lanes }) => {
    const id = parseDeadLetterId(
      ["tenant", "partition", "sink", "sequence"].map((name) => param(call, name)).join("/"),
    );
    const letter = id === undefined ? undefined : await lanes.deadLetter(id.lane, id.sequence);
    if (letter === undefined) throw new PulseGateError("not_found", "there is no such dead letter");
    return { body: new JsonText(deadLetterJson(letter)) };
  },
});

const discard = operation({
  id: "discard_dead_letters",
  method: "POST",
  path: "/tenants/{tenant}/dead-letters/discard",
  summary: "Remove dead letters that nobody will redrive; the ledger counts their events as filtered from then on",
  role: "operator",
  scope: "tenant",
  body: z
    .strictObject({
      ...GROUP,
      ...TIMES,
      letters: z.array(z.string()).min(1).max(10_000).optional().describe("These alone, by id."),
      all: z.boolean().optional().describe("All of the tenant's: must be said when nothing else is."),
      reason: z.string().min(1).max(1_000),
    })
    .refine(({ reason: _, ...rest }) => Object.values(rest).some((value) => value !== undefined && value !== false), {
      error: "say which: letters, a filter, or all",
    }),
  response: z.strictObject({ discarded: z.int() }),
  errors: ["not_found"],
  handle: async (call, ports) => {
    const { id: tenantId } = findTenant(ports, param(call, "tenant"));
    const { letters, all: _, reason, ...filter } = call.body;
    const { lanes, clock } = ports;
    return changeAudited(call, ports, {
      action: "discard_dead_letters",
      target: `tenants/${tenantId}/dead-letters`,
      tenantId,
      reason,
      before: letters === undefined ? { filter } : { letters },
      make: async () => {
        const at = clock.now();
        const discarded =
          letters === undefined
            ? await discardAll(lanes, { query: { ...filterOf(filter), tenantId }, at })
            : await lanes.discard(ownLetters(letters, tenantId), { at, reason: DISCARDED });
        return { body: { discarded }, after: { discarded } };
      },
    });
  },
});

export const DEAD_LETTER_OPERATIONS = [listDeadLetters, listGroups, showDeadLetter, discard];

interface Filter {
  readonly sink?: string | undefined;
  readonly stage?: string | undefined;
  readonly fingerprint?: string | undefined;
  readonly event_type?: string | undefined;
  readonly received_from?: number | undefined;
  readonly received_to?: number | undefined;
}

function filterOf({ sink, stage, fingerprint, event_type, received_from, received_to }: Filter) {
  return { sink, stage, fingerprint, eventType: event_type, receivedFrom: received_from, receivedTo: received_to };
}

/** Rejects with `not_found` when one is another tenant's. */
function ownLetters(ids: readonly string[], tenantId: string) {
  return ids.map((id) => {
    const letter = parseDeadLetterId(id);
    if (letter?.lane.stream.tenantId === tenantId) return letter;
    throw new PulseGateError("not_found", `tenant ${tenantId} has no dead letter ${id}`);
  });
}

function groupView(group: DeadLetterGroup) {
  const { tenantId, sink, fingerprint, stage, code, message, events, firstAt, lastAt, eventTypes } = group;
  return {
    tenant: tenantId,
    sink,
    fingerprint,
    stage,
    code,
    message,
    events,
    first_at: timestamp(firstAt),
    last_at: timestamp(lastAt),
    event_types: eventTypes,
  };
}
