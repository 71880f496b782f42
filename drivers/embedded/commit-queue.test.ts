import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { entryOf } from "../../tests/conformance/log-fixtures.ts";
import { CommitQueue, type Queued } from "./commit-queue.ts";

interface Item extends Queued {
  readonly n: number;
}

const item = (tenantId: string, n: number, frameBytes: number): Item => ({
  entry: entryOf({ id: `e${n}`, stream: { tenantId, partition: 0 } }),
  frameBytes,
  queuedAt: 0,
  n,
});
const ROOM = 1000;

describe("the queue before a commit", () => {
  it("gives all to one commit that takes all, as it came", () => {
    const queue = new CommitQueue<Item>();
    const items = [item("a", 0, 100), item("b", 1, 100), item("a", 2, 100)];
    items.forEach((one, i) => queue.push(one, () => 7 + i));
    expect(queue.nextBytes(ROOM)).toBe(100);
    expect(queue.take(ROOM)).toEqual({ entries: items, since: 7 });
    expect(queue.length).toBe(0);
    expect(queue.nextBytes(ROOM)).toBe(0);
  });

  it("fills no commit beyond its room, loses nothing, and keeps each tenant's order", () => {
    const sizes = fc.array(
      fc.record({
        tenant: fc.constantFrom("a", "b", "c"),
        bytes: fc.integer({ min: 8, max: 1500 }),
        takes: fc.boolean(),
      }),
      { maxLength: 200 },
    );
    fc.assert(
      fc.property(sizes, (steps) => {
        const queue = new CommitQueue<Item>();
        const given: Item[] = [];
        const taken: Item[] = [];
        const takeOnce = () => {
          const next = queue.nextBytes(ROOM);
          const { entries } = queue.take(ROOM);
          expect(entries[0]?.frameBytes ?? 0).toBe(next);
          const bytes = entries.reduce((sum, { frameBytes }) => sum + frameBytes, 0);
          if (entries.length > 1) expect(bytes).toBeLessThanOrEqual(ROOM);
          taken.push(...entries);
        };
        for (const { tenant, bytes, takes } of steps) {
          const one = item(tenant, given.length, bytes);
          given.push(one);
          queue.push(one, () => 0);
          if (takes) takeOnce();
        }
        while (queue.length > 0) takeOnce();
        const of = (items: Item[], tenant: string) =>
          items.filter(({ entry }) => entry.stream.tenantId === tenant).map(({ n }) => n);
        for (const tenant of ["a", "b", "c"]) expect(of(taken, tenant)).toEqual(of(given, tenant));
      }),
    );
  });

  it("puts a calm tenant's event into the next commit, however much another has waiting", () => {
    const queue = new CommitQueue<Item>();
    const room = 256 * 1024;
    for (let n = 0; n < 10_000; n++) queue.push(item("flood", n, 1024), () => 1);
    queue.take(room);
    queue.push(item("calm", 0, 1024), () => 2);
    expect(queue.take(room).entries.map(({ entry }) => entry.stream.tenantId)).toContain("calm");
  });

  it("knows since when the first of a commit waits", () => {
    const queue = new CommitQueue<Item>();
    for (let n = 0; n < 30; n++) queue.push(item("a", n, 100), () => 5 + n);
    queue.take(ROOM);
    queue.push(item("a", 30, 100), () => 99);
    expect(queue.take(ROOM).since).toBe(5);
    while (queue.length > 1) queue.take(ROOM);
    queue.drain();
    queue.push(item("a", 31, 100), () => 200);
    expect(queue.take(ROOM).since).toBe(200);
  });
});
