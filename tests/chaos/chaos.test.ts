import { expect, it } from "vitest";
import { type ChaosOptions, type ChaosReport, runChaos } from "./chaos.ts";

const SECONDS = 20;
const SEED = 1;
const FAILOVER_SEED = 17;

async function provenOf(log: ChaosOptions["log"], seed = SEED): Promise<ChaosReport> {
  const lines: string[] = [];
  const report = await runChaos({ log, seconds: SECONDS, seed, say: (line) => lines.push(line) });
  expect(report.violations.slice(0, 20), lines.join("\n")).toEqual([]);
  return report;
}

it("accounts for every event through kills, outages, freezes and cut connections", { timeout: 240_000 }, async () => {
  const report = await provenOf("embedded");
  // The run must have tried what it claims to.
  expect(report.requests.acked).toBeGreaterThan(500);
  expect(report.requests.refused).toBeGreaterThan(10);
  expect(report.deadLetters).toBeGreaterThan(0);
  expect(report.harms.length).toBeGreaterThan(4);
});

it("accounts for every event over Redis, whichever process, server or connection is harmed", {
  timeout: 240_000,
}, async () => {
  const report = await provenOf("redis");
  expect(report.requests.acked).toBeGreaterThan(500);
  expect(report.requests.refused).toBeGreaterThan(10);
  expect(report.deadLetters).toBeGreaterThan(0);
  expect(report.harms.length).toBeGreaterThan(4);
});

it("accounts for every event over a primary that loses its place to its replica", { timeout: 240_000 }, async () => {
  // With this seed the first harm is that.
  const report = await provenOf("failover", FAILOVER_SEED);
  expect(report.requests.acked).toBeGreaterThan(100);
  expect(report.requests.refused).toBeGreaterThan(0);
  expect(report.harms[0]).toContain("until the replica has its place");
});
