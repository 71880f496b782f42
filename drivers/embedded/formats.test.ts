import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { filterAdd, filterBytes, filterHas } from "./bloom.ts";
import { KeyedHash } from "./hash.ts";
import { type Place, RecentIds } from "./recent-ids.ts";
import { BLOCK_HEADER_BYTES, BlockWriter, FrameView } from "./segment-format.ts";
import { guessPlace, orderByKey, slackOf } from "./sidecar.ts";
import { TailCache } from "./tail-cache.ts";
import { entryOf, seeded } from "./testing.ts";

describe("the id hash", () => {
  const hash = new KeyedHash({ key0: 0x01234567, key1: 0x89abcdef });
  const of = (tenant: string, id: string): string => {
    hash.digest(hash.prefix(`event_id\0${tenant}`), id);
    return `${hash.hi}:${hash.lo}`;
  };

  it("differs where any part differs, and depends on the seed", () => {
    const digests = new Set([
      of("a", "b"),
      of("ab", ""),
      of("a", "c"),
      of("b", "b"),
      of("a", "b\0"),
      of("a", "bb"),
      of("a", "bbbb"),
      of("a", "bbbbb"),
    ]);
    expect(digests.size).toBe(8);
    const other = new KeyedHash({ key0: 0x01234567, key1: 0x89abcdee });
    other.digest(other.prefix("event_id\0a"), "b");
    expect(`${other.hi}:${other.lo}`).not.toBe(of("a", "b"));
  });

  it("spreads ids that differ in a counter alone evenly over both halves", () => {
    const prefix = hash.prefix("event_id\0tenant");
    const counts = { hi: new Uint32Array(256), lo: new Uint32Array(256) };
    const n = 256 * 400;
    for (let i = 0; i < n; i++) {
      hash.digest(prefix, `order-${i}`);
      (counts.hi[hash.hi >>> 24] as number)++;
      (counts.lo[hash.lo & 0xff] as number)++;
    }
    for (const half of [counts.hi, counts.lo]) {
      const chiSquare = half.reduce((sum, count) => sum + (count - 400) ** 2 / 400, 0);
      // 255 degrees of freedom: above 350 by chance once in 30,000 times.
      expect(chiSquare).toBeLessThan(350);
    }
  });
});

describe("the filter", () => {
  it("has all that was added, and at its full load is wrong in fewer than 1 of 1,000 others", () => {
    const ids = 1 << 16;
    const words = new Int32Array(filterBytes(ids) / 4);
    expect((words.byteLength * 8) / ids).toBe(16);
    const hash = new KeyedHash({ key0: 1, key1: 2 });
    const prefix = hash.prefix("x");
    const each = (from: number, to: number, visit: () => void) => {
      for (let i = from; i < to; i++) {
        hash.digest(prefix, `id${i}`);
        visit();
      }
    };
    each(0, ids, () => filterAdd(words, hash.hi, hash.lo));
    let missing = 0;
    each(0, ids, () => {
      if (!filterHas(words, hash.hi, hash.lo)) missing++;
    });
    let wrong = 0;
    each(ids, ids + 200_000, () => {
      if (filterHas(words, hash.hi, hash.lo)) wrong++;
    });
    expect(missing).toBe(0);
    expect(wrong / 200_000).toBeLessThan(0.001);
  });
});

describe("a block", () => {
  it("has the tenant's name in each frame, also the first one of a larger block than any before", () => {
    const writer = new BlockWriter();
    const place = { magic: 1, segment: 1, offset: 64, commit: 1, receivedAt: 0 };
    const write = (bytes: number): Buffer => {
      writer.begin(bytes, 0);
      const { bytes: body } = entryOf("acme", "e1");
      const frame = { tenantId: "acme", partition: 0, sequence: 0, eventId: "e1", idempotencyKey: undefined, body };
      writer.add(frame);
      writer.add({ ...frame, body: entryOf("acme", "e1").bytes });
      return Buffer.from(writer.finish(place));
    };
    const tenantsIn = (block: Buffer): string[] => {
      const first = new FrameView().move(block, BLOCK_HEADER_BYTES);
      return [first.tenantId, new FrameView().move(block, BLOCK_HEADER_BYTES + first.length).tenantId];
    };
    for (const bytes of [1024, 4 << 20]) expect(tenantsIn(write(bytes))).toEqual(["acme", "acme"]);
  });
});

describe("the table of recent ids", () => {
  it("finds every place of a hash, newest first, across tables", () => {
    const random = seeded(3);
    const recent = new RecentIds(7);
    const expected = new Map<string, Place[]>();
    for (let i = 1; i <= 150_000; i++) {
      // Some hashes come again and again, and many share a slot.
      const hi = Math.floor(random() * 3);
      const lo = Math.floor(random() * 2 ** 15) * 4;
      recent.add(hi, lo, i * 8);
      const places = expected.get(`${hi}:${lo}`) ?? [];
      places.unshift({ segment: 7, offset: i * 8 });
      expected.set(`${hi}:${lo}`, places);
    }
    let checked = 0;
    for (const [key, places] of expected) {
      if (checked++ > 300) break;
      const [hi, lo] = key.split(":").map(Number) as [number, number];
      const found: Place[] = [];
      recent.collect(hi, lo, found);
      expect(found).toEqual(places);
    }
    const none: Place[] = [];
    recent.collect(6000, 1, none);
    expect(none).toEqual([]);
  });
});

describe("sorted sections", () => {
  it("are sorted by key, and every record lies within the slack of its guessed place", () => {
    fc.assert(
      fc.property(fc.uint32Array({ maxLength: 400 }), (values) => {
        const keys = Uint32Array.from(values);
        const order = orderByKey(keys);
        const sorted = Array.from(order, (i) => keys[i] as number);
        expect(sorted).toEqual(Array.from(keys).sort((a, b) => a - b));
        const slack = slackOf((i) => sorted[i] as number, sorted.length);
        sorted.forEach((key, i) => expect(Math.abs(guessPlace(key, sorted.length) - i)).toBeLessThanOrEqual(slack));
      }),
    );
  });
});

describe("the tail cache", () => {
  it("gives back what it holds, byte for byte, and nothing else, within its bound", () => {
    const cache = new TailCache(4_000);
    const log = Buffer.from(Array.from({ length: 30_000 }, (_, i) => i % 251));
    let at = 0;
    const random = seeded(5);
    while (at < log.length) {
      const end = Math.min(log.length, at + 1 + Math.floor(random() * 900));
      // Room for more than there is then, as for a block that is not whole yet.
      const room = cache.room(end - at + Math.floor(random() * 100));
      log.copy(room as Buffer, 0, at, end);
      cache.keep(at < 20_000 ? 1 : 2, at, end - at);
      at = end;
      // Wherever it lies, it is the log's or it is not there.
      for (let from = Math.max(0, at - 8_000); from < at; from += 50) {
        const copy = cache.copy(from < 20_000 ? 1 : 2, from, 20);
        if (copy !== undefined) expect(copy.equals(log.subarray(from, from + 20))).toBe(true);
      }
    }
    expect(cache.copy(1, 100, 50)).toBeUndefined();
    expect(cache.copy(2, 40_000, 10)).toBeUndefined();
    expect(cache.room(4_001)).toBeUndefined();
    let hits = 0;
    for (let i = 0; i < 2_000; i++) {
      const from = 26_500 + Math.floor(random() * 3_400);
      const copy = cache.copy(2, from, 20);
      if (copy === undefined) continue;
      hits++;
      expect(copy.equals(log.subarray(from, from + 20))).toBe(true);
    }
    expect(hits).toBeGreaterThan(1_000);
  });
});
