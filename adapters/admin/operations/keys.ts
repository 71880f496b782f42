import { z } from "zod";
import { PulseGateError } from "../../../core/canonical/errors.ts";
import { API_KEY_BYTES, createApiKey } from "../../../core/ingestion/admit.ts";
import { addKey, keysOf, revokeKey, rotateKey } from "../../../core/ingestion/stored-keys.ts";
import type { KeyChange } from "../../../core/ingestion/stored-keys.ts";
import { changeAudited } from "../change.ts";
import { PAGE, pageOf } from "../input.ts";
import { operation, param } from "../operation.ts";
import type { Answer, Call } from "../operation.ts";
import type { AdminPorts } from "../ports.ts";
import { KeySchema, NewKeySchema, pageSchema } from "../schemas.ts";
import { keyView } from "../views.ts";
import { findTenant } from "./tenants.ts";

const KEY_ID = z.string().regex(/^[A-Za-z0-9-]{1,64}$/, "a key id is 1 to 64 letters, digits or -");
const OVERLAP_SECONDS_DEFAULT = 24 * 3_600;
const OVERLAP_SECONDS_MAX = 30 * 24 * 3_600;

const listKeys = operation({
  id: "list_keys",
  method: "GET",
  path: "/tenants/{tenant}/keys",
  summary: "List a tenant's API keys, those of the configuration and those made here; never their secrets",
  role: "viewer",
  scope: "tenant",
  query: z.strictObject(PAGE),
  response: pageSchema(KeySchema),
  errors: ["not_found"],
  handle: async (call, ports) => {
    const tenant = findTenant(ports, param(call, "tenant"));
    const { keys, version } = await keysOf(ports.control, tenant, ports.clock.now());
    const page = pageOf(keys, (key) => key.id, call.query);
    return { body: { ...page, items: page.items.map(keyView) }, version };
  },
});

const createKey = operation({
  id: "create_key",
  method: "POST",
  path: "/tenants/{tenant}/keys",
  summary: "Make an API key; its secret is shown in this answer and never again",
  role: "admin",
  scope: "tenant",
  body: z.strictObject({ id: KEY_ID }),
  ifMatch: "optional",
  status: 201,
  response: NewKeySchema,
  errors: ["not_found", "conflict", "precondition_failed"],
  handle: async (call, ports) => {
    const secret = newSecret(call.body.id, ports);
    return changeKey(call, ports, { action: "create_key", keyId: call.body.id, secret: secret.text }, (change) =>
      addKey(ports.control, change, secret.sha256),
    );
  },
});

const rotate = operation({
  id: "rotate_key",
  method: "POST",
  path: "/tenants/{tenant}/keys/{key}/rotate",
  summary: "Give a key a new secret; the old one is let in for the overlap",
  role: "admin",
  scope: "tenant",
  body: z.strictObject({
    overlap_seconds: z
      .int()
      .min(0)
      .max(OVERLAP_SECONDS_MAX)
      .default(OVERLAP_SECONDS_DEFAULT)
      .describe("How long both secrets are let in."),
  }),
  ifMatch: "optional",
  response: NewKeySchema,
  errors: ["not_found", "conflict", "precondition_failed"],
  handle: async (call, ports) => {
    const keyId = keyIdOf(call);
    const secret = newSecret(keyId, ports);
    const overlapMs = call.body.overlap_seconds * 1_000;
    return changeKey(call, ports, { action: "rotate_key", keyId, secret: secret.text }, (change) =>
      rotateKey(ports.control, change, { sha256: secret.sha256, overlapMs }),
    );
  },
});

const revoke = operation({
  id: "revoke_key",
  method: "POST",
  path: "/tenants/{tenant}/keys/{key}/revoke",
  summary: "Let a key in no more, wherever it stands; every process refuses it within 5 seconds",
  role: "admin",
  scope: "tenant",
  body: z.strictObject({ reason: z.string().max(1_000).optional() }),
  ifMatch: "optional",
  response: KeySchema,
  errors: ["not_found", "precondition_failed"],
  handle: async (call, ports) => {
    const { reason } = call.body;
    return changeKey(call, ports, { action: "revoke_key", keyId: keyIdOf(call), reason }, (change) =>
      revokeKey(ports.control, change),
    );
  },
});

export const KEY_OPERATIONS = [listKeys, createKey, rotate, revoke];

interface What {
  readonly action: string;
  readonly keyId: string;
  readonly secret?: string;
  readonly reason?: string | undefined;
}

async function changeKey(
  call: Call<unknown, unknown>,
  ports: AdminPorts,
  { action, keyId, secret, reason }: What,
  make: (change: KeyChange) => Promise<Parameters<typeof keyView>[0]>,
): Promise<Answer> {
  const tenant = findTenant(ports, param(call, "tenant"));
  const now = ports.clock.now();
  const { keys } = await keysOf(ports.control, tenant, now);
  const before = keys.find((key) => key.id === keyId);
  return changeAudited(call, ports, {
    action,
    target: `tenants/${tenant.id}/keys/${keyId}`,
    tenantId: tenant.id,
    reason,
    before: before === undefined ? undefined : keyView(before),
    make: async () => {
      const key = keyView(await make({ tenant, keyId, by: call.who.id, now, expected: call.ifMatch }));
      await ports.keysChanged();
      const { version } = await keysOf(ports.control, tenant, now);
      return { body: secret === undefined ? key : { ...key, key: secret }, after: key, version };
    },
  });
}

function keyIdOf(call: Call<unknown, unknown>): string {
  const id = param(call, "key");
  // Keys of the configuration may have ids of more kinds than new ones.
  if (/^[A-Za-z0-9_.-]{1,64}$/.test(id)) return id;
  throw new PulseGateError("not_found", `tenant ${param(call, "tenant")} has no key ${id}`);
}

function newSecret(keyId: string, { randomFill }: AdminPorts) {
  const random = new Uint8Array(API_KEY_BYTES);
  randomFill(random);
  return createApiKey(keyId, random);
}
