import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { acceptedResults } from "./accepted-results.ts";
import { ackMembers, type Stored } from "./ack.ts";

const streams = [
  { tenantId: "a", partition: 0 },
  { tenantId: "acme.eu", partition: 12 },
];

/** Mostly like one another, as results of one batch are. */
const result = fc.record({
  type: fc.constantFrom<Stored["type"]>("accepted", "accepted", "accepted", "duplicate"),
  eventId: fc.oneof(
    fc.stringMatching(/^[a-z0-9]{6}$/),
    fc.stringMatching(/^[!-~]{1,9}$/),
    fc.constantFrom('a"b\\cd', "abcdef"),
  ),
  stream: fc.constantFrom(...streams),
  sequence: fc.oneof(fc.nat(120), fc.constantFrom(9, 10, 99, 100, 4_294_967_296, Number.MAX_SAFE_INTEGER)),
  receivedAt: fc.constantFrom(1_790_000_000_000, 1_790_000_000_000, 1_790_000_000_001),
  durability: fc.constantFrom(undefined, undefined, "relaxed" as const),
});

const plain = (results: readonly Stored[]): string =>
  results.map((one, index) => `{"index":${index},"status":202,${ackMembers(one)}}`).join(",");

describe("the results of a batch that is stored", () => {
  it("are what each acknowledgement says, whatever was copied from the one before", () => {
    fc.assert(
      fc.property(fc.array(result, { minLength: 1, maxLength: 120 }), (results) => {
        expect(acceptedResults(results)).toBe(plain(results));
      }),
    );
  });

  it("are right in a batch of one stream whose index and sequence get more digits", () => {
    const results = Array.from({ length: 1200 }, (_, n): Stored => {
      const eventId = `event-${String(n).padStart(6, "0")}`;
      return { type: "accepted", eventId, stream: streams[1] as Stored["stream"], sequence: 95 + n, receivedAt: 0 };
    });
    expect(acceptedResults(results)).toBe(plain(results));
  });
});
