import { z } from "zod";
import { auditEntries } from "../../../core/ingestion/audit.ts";
import { NOT_A_CURSOR, PAGE, TENANT } from "../input.ts";
import { operation } from "../operation.ts";
import { AuditSchema, pageSchema, PluginSchema } from "../schemas.ts";
import { auditView } from "../views.ts";

const listAudit = operation({
  id: "list_audit",
  method: "GET",
  path: "/audit",
  summary: "List the changes that were made through this API, the newest first",
  role: "admin",
  scope: "tenant",
  query: z.strictObject({
    ...TENANT,
    ...PAGE,
    after: z
      .string()
      .regex(/^\d{1,15}$/, NOT_A_CURSOR)
      .optional(),
  }),
  response: pageSchema(AuditSchema),
  handle: async ({ tenantId, query: { after, limit } }, { control }) => {
    const before = after === undefined ? undefined : Number(after);
    const entries = await auditEntries(control, { before, tenantId, limit: limit + 1 });
    const page = entries.slice(0, limit);
    const last = page.at(-1);
    const next = entries.length > page.length && last !== undefined ? String(last.sequence) : null;
    return { body: { items: page.map(auditView), next } };
  },
});

const listPlugins = operation({
  id: "list_plugins",
  method: "GET",
  path: "/plugins",
  summary: "List the built-in plugins and those that the configuration brings, with the JSON Schema of their options",
  role: "viewer",
  scope: "tenant",
  response: z.strictObject({ items: z.array(PluginSchema) }),
  handle: async (_call, { plugins }) => ({
    body: { items: [...plugins()] },
  }),
});

export const AUDIT_OPERATIONS = [listAudit, listPlugins];
