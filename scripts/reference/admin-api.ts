import { OPERATIONS } from "../../adapters/admin/operations/index.ts";
import type { Operation } from "../../adapters/admin/operation.ts";
import { code, page, table } from "./markdown.ts";

export function adminApiPage(): string {
  return page(
    "Admin API",
    "Below `/admin/v1` on the operations port, with `Authorization: Bearer TOKEN`. Schemas of what goes in and out: `GET /admin/v1/openapi.json`. Roles, pages and preconditions: [docs/admin.md](../admin.md).",
    ...[...byFirstPart()].map(([part, operations]) => `## ${part}\n\n${operationsTable(operations)}`),
  );
}

function byFirstPart(): Map<string, Operation[]> {
  const parts = new Map<string, Operation[]>();
  for (const one of OPERATIONS) {
    const part = one.path.split("/")[1] ?? "";
    parts.set(part, [...(parts.get(part) ?? []), one]);
  }
  return parts;
}

function operationsTable(operations: readonly Operation[]): string {
  const rows = operations.map(({ method, path, role, scope, summary, ifMatch, description }) => [
    code(`${method} ${path}`),
    scope === "global" ? `${role}, all tenants` : role,
    `${summary}.${description === undefined ? "" : ` ${description}`}${ifMatch === undefined ? "" : ` \`If-Match\`: ${ifMatch}.`}`,
  ]);
  return table(["route", "role", "what"], rows);
}
