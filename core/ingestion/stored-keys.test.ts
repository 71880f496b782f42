import { beforeEach, describe, expect, test } from "vitest";
import { openMemoryLog } from "../../drivers/memory/index.ts";
import { SimClock } from "../../tests/helpers/sim-clock.ts";
import { tenant } from "../../tests/helpers/worker-bench.ts";
import { createAdmission, hashApiKey } from "./admit.ts";
import type { ControlStore } from "./log.ts";
import { addKey, keysOf, loadStoredKeys, revokeKey, rotateKey, withStoredKeys } from "./stored-keys.ts";

const SHOP = tenant("shop", [], { keys: [{ id: "file-key", sha256: hashApiKey("in-the-file") }] });
const change = (keyId: string, now = 0) => ({ tenant: SHOP, keyId, by: "night", now });

let control: ControlStore;

beforeEach(() => {
  control = openMemoryLog({ clock: new SimClock() }).control;
});

/** Whether a key's text is let in at a time. */
async function letsIn(text: string, now: number): Promise<boolean> {
  const { tenants } = withStoredKeys([SHOP], await loadStoredKeys(control), now);
  return createAdmission({ tenants }).authenticate(text) !== undefined;
}

describe("a stored key", () => {
  test("is let in beside those of the configuration", async () => {
    await addKey(control, change("web"), hashApiKey("stored"));
    expect([await letsIn("stored", 1), await letsIn("in-the-file", 1)]).toEqual([true, true]);
    const { keys } = await keysOf(control, SHOP, 1);
    expect(keys.map(({ id, origin, state }) => [id, origin, state])).toEqual([
      ["file-key", "config", "active"],
      ["web", "api", "active"],
    ]);
  });

  test("fades out after a rotation's overlap, and tells when", async () => {
    await addKey(control, change("web"), hashApiKey("old"));
    const rotated = await rotateKey(control, change("web", 100), { sha256: hashApiKey("new"), overlapMs: 50 });
    expect(rotated).toMatchObject({ state: "rotating", overlapEndsAt: 150 });
    expect([await letsIn("old", 149), await letsIn("new", 149)]).toEqual([true, true]);
    expect([await letsIn("old", 150), await letsIn("new", 150)]).toEqual([false, true]);
    expect(withStoredKeys([SHOP], await loadStoredKeys(control), 100).changesAt).toBe(150);
  });

  test("has at most two secrets, however often it is rotated", async () => {
    await addKey(control, change("web"), hashApiKey("s0"));
    for (const i of [1, 2, 3])
      await rotateKey(control, change("web", i), { sha256: hashApiKey(`s${i}`), overlapMs: 1e6 });
    expect(await Promise.all(["s0", "s1", "s2", "s3"].map((text) => letsIn(text, 4)))).toEqual([
      false,
      false,
      true,
      true,
    ]);
  });

  test("is refused once revoked, with both secrets of a rotation, and its id is free again", async () => {
    await addKey(control, change("web"), hashApiKey("old"));
    await rotateKey(control, change("web", 1), { sha256: hashApiKey("new"), overlapMs: 1e6 });
    expect(await revokeKey(control, change("web", 2))).toMatchObject({ state: "revoked", revokedAt: 2 });
    expect([await letsIn("old", 3), await letsIn("new", 3)]).toEqual([false, false]);
    await expect(rotateKey(control, change("web", 3), { sha256: "x", overlapMs: 0 })).rejects.toMatchObject({
      code: "conflict",
    });
    await addKey(control, change("web", 4), hashApiKey("again"));
    expect([await letsIn("again", 5), await letsIn("new", 5)]).toEqual([true, false]);
  });

  test("can't take the id of a live one, nor be changed when another was quicker", async () => {
    await addKey(control, change("web"), hashApiKey("a"));
    for (const id of ["web", "file-key"]) {
      await expect(addKey(control, change(id), hashApiKey("b"))).rejects.toMatchObject({ code: "conflict" });
    }
    const stale = { ...change("web", 1), expected: 0 };
    await expect(revokeKey(control, stale)).rejects.toMatchObject({ code: "precondition_failed" });
    expect(await letsIn("a", 2)).toBe(true);
  });
});

describe("a key of the configuration", () => {
  test("is refused once revoked, although the file names it", async () => {
    await revokeKey(control, change("file-key", 7));
    expect(await letsIn("in-the-file", 8)).toBe(false);
    expect((await keysOf(control, SHOP, 8)).keys).toMatchObject([{ state: "revoked", revokedAt: 7 }]);
  });

  test("can't be rotated here", async () => {
    const secret = { sha256: hashApiKey("x"), overlapMs: 0 };
    await expect(rotateKey(control, change("file-key"), secret)).rejects.toMatchObject({ code: "conflict" });
  });
});

test("a key that nobody has is not found", async () => {
  await expect(revokeKey(control, change("none"))).rejects.toMatchObject({ code: "not_found" });
});
