/** All that the data port promises, with every request read by node:http. */
import { afterAll, beforeAll, describe } from "vitest";
import { GATE_DEFAULTS } from "../../tests/helpers/http-gate.ts";

beforeAll(() => {
  GATE_DEFAULTS.readsPlain = false;
});
afterAll(() => {
  GATE_DEFAULTS.readsPlain = true;
});

// Each within its own: their hooks are for their tests alone.
describe("single events", async () => {
  await import("./single.test.ts");
});
describe("batches", async () => {
  await import("./batch.test.ts");
});
describe("quotas", async () => {
  await import("./quota.test.ts");
});
describe("capacity", async () => {
  await import("./capacity.test.ts");
});
describe("connections", async () => {
  await import("./connection.test.ts");
});
describe("drains", async () => {
  await import("./drain.test.ts");
});
