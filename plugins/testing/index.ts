import { test } from "node:test";
import type { Check } from "./checks.ts";
import { type SinkSuite, sinkChecks } from "./sink.ts";
import { type TransformSuite, transformChecks } from "./transform.ts";

export { contextOf, eventOf, eventsOf } from "./events.ts";
export { type Endpoint, startEndpoint } from "./endpoint.ts";
export { type Proxy, startProxy } from "./proxy.ts";
export type { SinkSuite, SinkTarget, StoredEvent, Undo } from "./sink.ts";
export type { TransformSuite } from "./transform.ts";

/** Registers a test; that of `node:test`, vitest and jest all fit. */
export type RegisterTest = (name: string, run: () => Promise<void>) => unknown;

/** Registers a test for each promise that the pipeline relies on in a transform, and for its golden pairs. */
export function testTransform(suite: TransformSuite, register: RegisterTest = test): void {
  registerAll(transformChecks(suite), register);
}

/** Registers a test for each promise that the pipeline relies on in a sink. */
export function testSink(suite: SinkSuite, register: RegisterTest = test): void {
  registerAll(sinkChecks(suite), register);
}

function registerAll(checks: readonly Check[], register: RegisterTest): void {
  for (const { name, run } of checks) register(name, async () => void (await run()));
}
