import { randomFillSync } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UUID } from "uuidv7";
import { createIds, derivedEventId } from "./id.ts";

function idsAt(clock: { ms: number }) {
  return createIds({ clock: { now: () => clock.ms }, randomFill: (bytes) => void randomFillSync(bytes) });
}

describe("createIds", () => {
  it("makes UUIDv7 of the clock's millisecond", () => {
    const id = UUID.parse(idsAt({ ms: 0x0123456789ab }).eventId());
    expect(id.getVersion()).toBe(7);
    expect(id.getVariant()).toBe("VAR_10");
    expect(id.toHex().slice(0, 12)).toBe("0123456789ab");
  });

  it("makes ids that rise and never repeat, though the clock stands still or steps back a little", () => {
    const clock = { ms: 1_700_000_000_000 };
    const ids = idsAt(clock);
    const made: string[] = [];
    for (let i = 0; i < 30_000; i++) {
      if (i % 7000 === 6999) clock.ms -= 500;
      made.push(ids.eventId());
    }
    expect(made).toEqual([...new Set(made)].sort());
  });

  it("follows a clock that was set back", () => {
    const clock = { ms: 1_700_000_000_000 };
    const ids = idsAt(clock);
    ids.eventId();
    clock.ms -= 3_600_000;
    expect(Number.parseInt(UUID.parse(ids.eventId()).toHex().slice(0, 12), 16)).toBe(clock.ms);
  });

  it("makes trace ids of 32 hex digits, never all zero", () => {
    expect(idsAt({ ms: 0 }).traceId()).toMatch(/^[0-9a-f]{32}$/);
    let fills = 0;
    const zeroFirst = createIds({ clock: { now: () => 0 }, randomFill: (bytes) => void bytes.fill(fills++) });
    expect(zeroFirst.traceId()).toMatch(/^(01)+$/);
  });
});

describe("derivedEventId", () => {
  it("is a UUIDv8 that tenant and key alone decide", () => {
    const id = derivedEventId("t", "order-1");
    expect(id).toBe("9d3f5ee3-43f2-8521-9d6d-e419ed46595c");
    expect(UUID.parse(id).getVersion()).toBe(8);
    expect(UUID.parse(id).getVariant()).toBe("VAR_10");
  });

  it("differs between tenants and between keys", () => {
    const text = fc.stringMatching(/^[A-Za-z0-9_.:-]{1,10}$/);
    fc.assert(
      fc.property(text, text, text, text, (tenant, key, otherTenant, otherKey) => {
        fc.pre(tenant !== otherTenant || key !== otherKey);
        expect(derivedEventId(tenant, key)).not.toBe(derivedEventId(otherTenant, otherKey));
      }),
    );
  });
});
