import { expect, it } from "vitest";
import { runChaos } from "./chaos.ts";

const SECONDS = 20;
const SEED = 1;

it("accounts for every event through kills, outages, freezes and cut connections", { timeout: 240_000 }, async () => {
  const lines: string[] = [];
  const report = await runChaos({ seconds: SECONDS, seed: SEED, say: (line) => lines.push(line) });
  expect(report.violations.slice(0, 20), lines.join("\n")).toEqual([]);
  // The run must have tried what it claims to.
  expect(report.requests.acked).toBeGreaterThan(500);
  expect(report.requests.refused).toBeGreaterThan(10);
  expect(report.deadLetters).toBeGreaterThan(0);
  expect(report.harms.length).toBeGreaterThan(4);
});
