import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ask, startAdminGate, TOKENS } from "../../tests/helpers/admin-gate.ts";
import type { AdminGate } from "../../tests/helpers/admin-gate.ts";
import { entryOf } from "../../tests/conformance/log-fixtures.ts";

const STREAM = { tenantId: "shop", partition: 0 };
const PATH = "/admin/v1/tenants/shop/events/erase";
const EMAIL = "alice@example.com";

let gate: AdminGate;
let reread: string[];

beforeEach(async () => {
  reread = [];
  const note = async (tenantId: string): Promise<void> => void reread.push(tenantId);
  gate = await startAdminGate({ ports: ({ workers }) => ({ workers: { ...workers, reread: note } }) });
  const mails = [EMAIL, "bob@example.com", EMAIL];
  await gate.log.append(
    mails.map((email, i) => entryOf({ stream: STREAM, id: `e${i}`, payload: `{"who":{"email":"${email}","n":${i}}}` })),
  );
});
afterEach(() => gate.close());

function erase(body: Readonly<Record<string, unknown>>) {
  return ask(gate.url, PATH, { method: "POST", token: TOKENS.admin, body: { reason: "asked for", ...body } });
}

async function erased(): Promise<number[]> {
  const entries = await gate.log.read(STREAM, 0, { entries: 10, bytes: 1e6 });
  return entries.filter(({ erasedAt }) => erasedAt !== undefined).map(({ sequence }) => sequence);
}

describe("erasing events", () => {
  it.each([
    ["by id", { ids: ["e1", "none"] }, [1]],
    ["by subject", { subject: { path: ["who", "email"], equals: EMAIL } }, [0, 2]],
    ["by number", { subject: { path: ["who", "n"], equals: 2 } }, [2]],
    ["by filter", { filter: "event.payload.who.n >= 1" }, [1, 2]],
    ["by both", { subject: { path: ["who", "email"], equals: EMAIL }, filter: "event.payload.who.n >= 1" }, [2]],
    ["within times", { filter: "true", received_to: "2001-01-01T00:00:00Z" }, []],
  ])("%s takes what fits and nothing else, and lanes read anew", async (_name, body, expected) => {
    const reply = await erase(body);
    expect(reply.body).toEqual({ selected: expected.length, erased: expected.length, dead_letters: 0 });
    expect(await erased()).toEqual(expected);
    expect(reread).toEqual(["shop"]);
  });

  it("counts, and changes nothing, in a dry run", async () => {
    const reply = await erase({ filter: "true", dry_run: true });
    expect(reply.body).toEqual({ selected: 3, erased: 0, dead_letters: 0 });
    expect(await erased()).toEqual([]);
    expect(reread).toEqual([]);
  });

  it("is audited without the value that it looked for, and told by the event's fate", async () => {
    await erase({
      subject: { path: ["who", "email"], equals: EMAIL },
      filter: `event.payload.who.email == "${EMAIL}"`,
    });
    const audit = await ask(gate.url, "/admin/v1/audit", { token: TOKENS.admin });
    expect(JSON.stringify(audit.body)).toContain('"erase_events"');
    expect(JSON.stringify(audit.body)).not.toContain(EMAIL);
    const fate = await ask(gate.url, "/admin/v1/events/shop/e0", { token: TOKENS.admin });
    expect(fate.body).toMatchObject({ event_id: "e0", erased_at: expect.stringMatching(/^20/) });
  });

  it.each([
    ["nothing is named", {}],
    ["ids are mixed with others", { ids: ["e1"], filter: "true" }],
    ["the filter is none", { filter: "event.(" }],
  ])("is refused when %s", async (_name, body) => {
    expect(await erase(body)).toMatchObject({ status: 400, body: { code: "malformed_request" } });
    expect(await erased()).toEqual([]);
  });
});
