import { hash, timingSafeEqual } from "node:crypto";
import { PulseGateError } from "../canonical/errors.ts";
import type { Revision, TenantConfig } from "./revision.ts";

/** Who a credential stands for. */
export interface Admitted {
  readonly tenant: TenantConfig;
  readonly keyId: string;
}

/** Tells tenants by their API keys. A new revision counts from the next request on. */
export interface Admission {
  authenticate(keyText: string): Admitted | undefined;
  /** Swaps to another revision as a whole. Throws when one key belongs to two tenants; then the old one stays. */
  apply(revision: Pick<Revision, "tenants">): void;
}

/** Longer texts are no keys, and not worth hashing. */
const KEY_CHARS_MAX = 512;

export function createAdmission(revision: Pick<Revision, "tenants">): Admission {
  let holders = holdersOf(revision);
  /** By the texts of keys that were right: at most as many as there are keys. */
  let known = new Map<string, Admitted>();
  return {
    authenticate(keyText) {
      // Texts are compared only where a hash with a random seed is equal: timing tells nothing of a key.
      const seen = known.get(keyText);
      if (seen !== undefined) return seen;
      if (keyText.length > KEY_CHARS_MAX) return undefined;
      const digest = hashApiKey(keyText);
      const holder = holders.get(digest);
      // Both sides are digests: what a lookup's timing tells of them says nothing about a key.
      if (holder === undefined || !timingSafeEqual(Buffer.from(digest, "latin1"), holder.digest)) return undefined;
      known.set(keyText, holder.admitted);
      return holder.admitted;
    },
    apply(next) {
      holders = holdersOf(next);
      known = new Map();
    },
  };
}

interface Holder {
  readonly digest: Buffer;
  readonly admitted: Admitted;
}

function holdersOf({ tenants }: Pick<Revision, "tenants">): Map<string, Holder> {
  const holders = new Map<string, Holder>();
  for (const tenant of tenants) {
    for (const { id, sha256 } of tenant.keys) {
      const digest = sha256.toLowerCase();
      const other = holders.get(digest);
      if (other !== undefined) {
        const owners = `${other.admitted.tenant.id}/${other.admitted.keyId} and ${tenant.id}/${id}`;
        throw new PulseGateError("internal", `one API key is given twice: ${owners}`);
      }
      holders.set(digest, { digest: Buffer.from(digest, "latin1"), admitted: { tenant, keyId: id } });
    }
  }
  return holders;
}

/** What the configuration keeps of a key: lower-case hex SHA-256 of its text. */
export function hashApiKey(keyText: string): string {
  return hash("sha256", keyText, "hex");
}

/** Random bytes in a key: 256 bits. */
export const API_KEY_BYTES = 32;
const KEY_ID_PATTERN = /^[A-Za-z0-9-]{1,64}$/;

/**
 * A new key, `pgk_<key id>_<43 base64url characters>`, out of 32 random bytes. Its text is to be
 * shown once and kept nowhere; `sha256` goes into the configuration.
 */
export function createApiKey(keyId: string, random: Uint8Array): { readonly text: string; readonly sha256: string } {
  if (!KEY_ID_PATTERN.test(keyId)) throw new PulseGateError("internal", "a key id is 1–64 of A–Z a–z 0–9 -");
  if (random.length !== API_KEY_BYTES)
    throw new PulseGateError("internal", `a key needs ${API_KEY_BYTES} random bytes`);
  const text = `pgk_${keyId}_${Buffer.from(random).toString("base64url")}`;
  return { text, sha256: hashApiKey(text) };
}
