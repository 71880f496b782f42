import { createHash, randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { createAdmission, createApiKey, hashApiKey } from "./admit.ts";
import type { TenantConfig } from "./revision.ts";

function tenant(id: string, keys: Record<string, string>): TenantConfig {
  const hashed = Object.entries(keys).map(([keyId, text]) => ({ id: keyId, sha256: hashApiKey(text) }));
  return { id, keys: hashed, partitions: 1, weight: 1, transforms: [], sinks: [] };
}

describe("an admission", () => {
  const admission = createAdmission({
    tenants: [tenant("a", { web: "key-a", app: "key-a2" }), tenant("b", { web: "key-b" })],
  });

  it("tells tenant and key by the key's text", () => {
    expect(admission.authenticate("key-a")).toMatchObject({ tenant: { id: "a" }, keyId: "web" });
    expect(admission.authenticate("key-a2")).toMatchObject({ tenant: { id: "a" }, keyId: "app" });
    expect(admission.authenticate("key-b")).toMatchObject({ tenant: { id: "b" }, keyId: "web" });
  });

  it.each(["", "key", "key-a ", "KEY-A", hashApiKey("key-a"), "__proto__", "x".repeat(100_000), "ключ"])(
    "knows no %j",
    (text) => {
      expect(admission.authenticate(text)).toBeUndefined();
    },
  );

  it("takes hashes in either case", () => {
    const upper = { ...tenant("a", {}), keys: [{ id: "web", sha256: hashApiKey("key-a").toUpperCase() }] };
    expect(createAdmission({ tenants: [upper] }).authenticate("key-a")?.keyId).toBe("web");
  });

  it("swaps to a new revision as a whole: revoked keys are out at once", () => {
    const swapped = createAdmission({ tenants: [tenant("a", { old: "key-old" })] });
    expect(swapped.authenticate("key-old")?.keyId).toBe("old");
    swapped.apply({ tenants: [tenant("a", { new: "key-new" })] });
    expect(swapped.authenticate("key-old")).toBeUndefined();
    expect(swapped.authenticate("key-new")?.keyId).toBe("new");
  });

  it("refuses a revision that gives one key to two tenants, and keeps the old one", () => {
    const kept = createAdmission({ tenants: [tenant("a", { web: "key-a" })] });
    const twice = { tenants: [tenant("b", { web: "same" }), tenant("c", { web: "same" })] };
    expect(() => kept.apply(twice)).toThrow("b/web and c/web");
    expect(kept.authenticate("key-a")?.tenant.id).toBe("a");
    expect(kept.authenticate("same")).toBeUndefined();
  });
});

describe("createApiKey", () => {
  it("makes a text of 256 random bits, and the hash that the configuration keeps", () => {
    const random = randomBytes(32);
    const { text, sha256 } = createApiKey("web-1", random);
    expect(text).toMatch(/^pgk_web-1_[A-Za-z0-9_-]{43}$/);
    expect(Buffer.from(text.slice("pgk_web-1_".length), "base64url")).toEqual(random);
    expect(sha256).toBe(createHash("sha256").update(text).digest("hex"));
  });

  it("refuses too little chance and ids that would blur its form", () => {
    expect(() => createApiKey("web", randomBytes(16))).toThrow("32 random bytes");
    expect(() => createApiKey("a_b", randomBytes(32))).toThrow("key id");
    expect(() => createApiKey("", randomBytes(32))).toThrow("key id");
  });
});
