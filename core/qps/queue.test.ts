import * as fc from "fast-check";
import { expect, it } from "vitest";
import { Fifo, MinHeap } from "./queue.ts";

it("a queue gives back what it was given, in order, whatever the interleaving", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom("push", "shift", "pop", "remove"), { maxLength: 3_000 }), (actions) => {
      const queue = new Fifo<number>();
      const model: number[] = [];
      actions.forEach((action, i) => {
        if (action === "push") {
          queue.push(i);
          model.push(i);
        }
        if (action === "remove") {
          const middle = model[model.length >> 1] ?? -1;
          queue.remove(middle);
          model.splice(model.indexOf(middle), model.length > 0 ? 1 : 0);
        }
        const taken = action === "shift" ? queue.shift() : action === "pop" ? queue.pop() : i;
        const expected = action === "shift" ? model.shift() : action === "pop" ? model.pop() : i;
        expect(taken).toBe(expected);
        expect([queue.size, queue.peek(), queue.last()]).toEqual([model.length, model[0], model[model.length - 1]]);
      });
      expect([...queue]).toEqual(model);
    }),
  );
});

it("a heap gives back the smallest first", () => {
  fc.assert(
    fc.property(fc.array(fc.integer()), (keys) => {
      const heap = new MinHeap<number>((key) => key);
      for (const key of keys) heap.push(key);
      const out: number[] = [];
      for (let key = heap.pop(); key !== undefined; key = heap.pop()) out.push(key);
      expect(out).toEqual([...keys].sort((a, b) => a - b));
    }),
  );
});
