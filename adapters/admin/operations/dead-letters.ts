import { z } from "zod";
import { PulseGateError } from "../../../core/canonical/errors.ts";
import { laneOfPath, NOT_A_CURSOR, PAGE, parseDeadLetterId, sequenceOfPath, TENANT } from "../input.ts";
import { JsonText, operation, param } from "../operation.ts";
import { DeadLetterSchema, DeadLetterWhole, pageSchema } from "../schemas.ts";
import { deadLetterId, deadLetterJson, deadLetterSummary } from "../views.ts";

const listDeadLetters = operation({
  id: "list_dead_letters",
  method: "GET",
  path: "/dead-letters",
  summary: "List events that a lane gave up on",
  role: "viewer",
  scope: "tenant",
  query: z.strictObject({
    ...TENANT,
    sink: z.string().optional().describe("This sink's only."),
    ...PAGE,
    after: PAGE.after.refine((text) => text === undefined || parseDeadLetterId(text) !== undefined, NOT_A_CURSOR),
  }),
  response: pageSchema(DeadLetterSchema),
  handle: async ({ tenantId, query }, { lanes }) => {
    const { sink, limit } = query;
    const after = query.after === undefined ? undefined : parseDeadLetterId(query.after);
    // One more than asked for tells whether there is a next page.
    const letters = await lanes.deadLetters({ tenantId, sink, after, limit: limit + 1 });
    const page = letters.slice(0, limit);
    const last = page.at(-1);
    const next = letters.length > page.length && last !== undefined ? deadLetterId(last) : null;
    return { body: { items: page.map(deadLetterSummary), next } };
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
    const lane = laneOfPath(call.params);
    const sequence = sequenceOfPath(param(call, "sequence"));
    const letter = sequence === undefined ? undefined : await lanes.deadLetter(lane, sequence);
    if (letter === undefined) throw new PulseGateError("not_found", "there is no such dead letter");
    return { body: new JsonText(deadLetterJson(letter)) };
  },
});

export const DEAD_LETTER_OPERATIONS = [listDeadLetters, showDeadLetter];
