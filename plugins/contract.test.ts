import { expect, test } from "vitest";
import type { CanonicalEvent, PluginContext, SinkPlugin, TransformPlugin } from "./contract.ts";

// As they stand in the founding document.
interface FoundingTransform {
  name: string;
  version: string;
  init?(config: unknown): Promise<void>;
  process(
    event: CanonicalEvent,
    ctx: PluginContext,
  ): Promise<
    | { type: "ok"; event: CanonicalEvent }
    | { type: "drop"; reason: string }
    | { type: "error"; reason: string; retryable: boolean }
  >;
}

interface FoundingSink {
  name: string;
  version: string;
  init?(config: unknown): Promise<void>;
  send(
    event: CanonicalEvent,
    ctx: PluginContext,
  ): Promise<{ type: "ok" } | { type: "retry"; reason: string } | { type: "error"; reason: string }>;
}

test("a plugin written to the founding document's interfaces is one, and the other way round", () => {
  const transform: FoundingTransform = { name: "t", version: "1", process: async (event) => ({ type: "ok", event }) };
  const sink: FoundingSink = { name: "s", version: "1", send: async () => ({ type: "ok" }) };
  const ours: [TransformPlugin, SinkPlugin] = [transform, sink];
  const theirs: [FoundingTransform, FoundingSink] = ours;
  expect(theirs.map(({ name }) => name)).toEqual(["t", "s"]);
});
