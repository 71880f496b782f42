import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FairQueue } from "./fair-queue.ts";

interface Item {
  readonly flow: string;
  readonly n: number;
  readonly cost: number;
}

const QUANTUM = 64;
const fresh = () => new FairQueue<Item>({ costOf: ({ cost }) => cost, quantum: QUANTUM });

function takeAll(queue: FairQueue<Item>): Item[] {
  const taken: Item[] = [];
  for (let item = queue.take(Infinity); item !== undefined; item = queue.take(Infinity)) taken.push(item);
  return taken;
}

const items = fc.array(
  fc.record({ flow: fc.constantFrom("a", "b", "c", "d"), n: fc.nat(), cost: fc.integer({ min: 1, max: 500 }) }),
  { maxLength: 400 },
);

describe("a fair queue", () => {
  it("gives back all that it was given, each flow's in order", () => {
    fc.assert(
      fc.property(items, (given) => {
        const queue = fresh();
        for (const item of given) queue.push(item.flow, item);
        expect(queue.size).toBe(given.length);
        const taken = takeAll(queue);
        for (const flow of ["a", "b", "c", "d"])
          expect(taken.filter((item) => item.flow === flow)).toEqual(given.filter((item) => item.flow === flow));
        expect([queue.size, queue.cost]).toEqual([0, 0]);
      }),
    );
  });

  it("lets no waiting flow get ahead of another by more than a turn and the largest item", () => {
    fc.assert(
      fc.property(items, (given) => {
        const queue = fresh();
        const left = new Map<string, number>();
        for (const item of given) {
          queue.push(item.flow, item);
          left.set(item.flow, (left.get(item.flow) ?? 0) + 1);
        }
        const through = new Map([...left.keys()].map((flow) => [flow, 0]));
        for (let item = queue.take(Infinity); item !== undefined; item = queue.take(Infinity)) {
          through.set(item.flow, (through.get(item.flow) ?? 0) + item.cost);
          left.set(item.flow, (left.get(item.flow) ?? 0) - 1);
          const waiting = [...left].filter(([, count]) => count > 0).map(([flow]) => through.get(flow) ?? 0);
          for (const cost of waiting)
            expect((through.get(item.flow) ?? 0) - cost).toBeLessThanOrEqual(2 * (QUANTUM + 500));
        }
      }),
    );
  });

  it("lets one small item by at once, however much another flow has waiting", () => {
    const queue = fresh();
    for (let n = 0; n < 10_000; n++) queue.push("flood", { flow: "flood", n, cost: 50 });
    for (let n = 0; n < 20; n++) queue.take(Infinity);
    queue.push("calm", { flow: "calm", n: 0, cost: 50 });
    const next = Array.from({ length: 3 }, () => queue.take(Infinity)?.flow);
    expect(next).toContain("calm");
  });

  it("keeps what costs more than there is room for, and its turn", () => {
    const queue = fresh();
    queue.push("a", { flow: "a", n: 0, cost: 100 });
    expect(queue.take(99)).toBeUndefined();
    expect(queue.take(100)?.n).toBe(0);
  });

  it("forgets the credit of a flow that has nothing left", () => {
    const queue = fresh();
    queue.push("a", { flow: "a", n: 0, cost: 1 });
    queue.take(Infinity);
    queue.push("b", { flow: "b", n: 0, cost: QUANTUM });
    for (let n = 0; n < QUANTUM; n++) queue.push("a", { flow: "a", n, cost: 2 });
    const taken = takeAll(queue).map(({ flow }) => flow);
    expect(taken.indexOf("b")).toBeLessThanOrEqual(QUANTUM / 2);
  });

  it("shares by weight while all wait", () => {
    const queue = fresh();
    for (let n = 0; n < 4000; n++)
      for (const weight of [1, 3]) queue.push(`w${weight}`, { flow: `w${weight}`, n, cost: 40 }, weight);
    const taken = Array.from({ length: 2000 }, () => queue.take(Infinity)?.flow);
    expect(taken.filter((flow) => flow === "w3").length / 2000).toBeCloseTo(0.75, 1);
  });

  it("drains to nothing", () => {
    const queue = fresh();
    queue.push("a", { flow: "a", n: 0, cost: 1 });
    queue.push("b", { flow: "b", n: 1, cost: 1 });
    expect(queue.drain().map(({ n }) => n)).toEqual([0, 1]);
    expect(queue.take(Infinity)).toBeUndefined();
    queue.push("a", { flow: "a", n: 2, cost: 1 });
    expect(queue.take(Infinity)?.n).toBe(2);
  });
});
