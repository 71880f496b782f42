import { createHash, timingSafeEqual } from "node:crypto";
import { PulseGateError } from "../../core/canonical/errors.ts";
import type { AdminToken, Role } from "./ports.ts";

/** Who asks. */
export type Principal = Omit<AdminToken, "sha256">;

const RANK: Readonly<Record<Role, number>> = { viewer: 0, operator: 1, admin: 2 };

/** The token that a request shows, if it is one of them; takes the same time whichever it is. */
export function authenticate(header: string | undefined, tokens: readonly AdminToken[]): Principal | undefined {
  const shown = /^bearer +(\S+)$/i.exec(header ?? "")?.[1] ?? "";
  const digest = createHash("sha256").update(shown).digest();
  let found: AdminToken | undefined;
  for (const token of tokens) {
    if (timingSafeEqual(digest, Buffer.from(token.sha256, "hex"))) found = token;
  }
  return shown === "" ? undefined : found;
}

export interface Demand {
  readonly role: Role;
  /** `global`: nothing for a token that belongs to one tenant. */
  readonly scope: "tenant" | "global";
  /** The tenant that the request names. */
  readonly tenantId: string | undefined;
}

/** Rejects with `forbidden`, and says what would be needed. Whether a thing exists is not looked at before this. */
export function authorize(who: Principal, { role, scope, tenantId }: Demand): void {
  if (RANK[who.role] < RANK[role]) {
    throw new PulseGateError("forbidden", `this needs the role ${role}; the token ${who.id} has ${who.role}`);
  }
  if (who.tenantId === undefined) return;
  if (scope === "global") {
    throw new PulseGateError("forbidden", `this is not one tenant's; the token ${who.id} is for ${who.tenantId} alone`);
  }
  if (tenantId !== undefined && tenantId !== who.tenantId) {
    throw new PulseGateError("forbidden", `the token ${who.id} is for tenant ${who.tenantId} alone`);
  }
}
