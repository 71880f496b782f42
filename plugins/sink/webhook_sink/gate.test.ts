import { performance } from "node:perf_hooks";
import { expect, test } from "vitest";
import { Gate } from "./gate.ts";

/** Lets what is ready to run have its turn. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

async function entering(gate: Gate, count: number): Promise<() => number> {
  let inside = 0;
  for (let i = 0; i < count; i++) void gate.enter().then(() => (inside += 1));
  await turn();
  return () => inside;
}

test("lets no more through than its limit, and the next as one leaves", async () => {
  const gate = new Gate(3);
  const inside = await entering(gate, 5);
  expect(inside()).toBe(3);
  gate.leave();
  await turn();
  expect(inside()).toBe(4);
});

test("halves once for all that were out together, and grows back as events are taken", () => {
  const gate = new Gate(16);
  const sentAt = performance.now();
  for (let i = 0; i < 16; i++) gate.slowDown({ sentAt, pauseMs: 0 });
  expect(gate.limit).toBe(8);
  for (let i = 0; i < 1_000; i++) gate.taken();
  expect(gate.limit).toBe(16);
  for (let i = 0; i < 10; i++) gate.slowDown({ sentAt: performance.now(), pauseMs: 0 });
  expect(gate.limit).toBe(1);
});

test("lets fewer in after a slow-down, also those that wait already", async () => {
  const gate = new Gate(4);
  const inside = await entering(gate, 8);
  gate.slowDown({ sentAt: performance.now(), pauseMs: 0 });
  gate.leave();
  gate.leave();
  await turn();
  expect(inside()).toBe(4);
  gate.leave();
  await turn();
  expect(inside()).toBe(5);
});

test("keeps the longest pause that it was asked for", () => {
  const gate = new Gate(1);
  expect(gate.pausedMs).toBe(0);
  gate.slowDown({ sentAt: 0, pauseMs: 600_000 });
  gate.slowDown({ sentAt: 0, pauseMs: 1 });
  expect(gate.pausedMs).toBeGreaterThan(500_000);
});
