import { describe, expect, test } from "vitest";
import { type SinkSuite, sinkChecks } from "../../plugins/testing/sink.ts";

/** The promises of a built-in sink, on a target that can be harmed in every way; `unchecked`: what the suite says it passes over all the same. */
export function sinkConformance(suite: SinkSuite, unchecked: readonly string[] = []): void {
  describe(`${suite.definition.name} as a sink`, () => {
    const passedOver: string[] = [];
    test.each([...sinkChecks(suite)])("$name", async ({ run }) => {
      const skipped = await run();
      if (skipped !== undefined) passedOver.push(skipped);
    });

    test("is checked in every way but those that are named", () => {
      expect(passedOver).toEqual(unchecked);
    });
  });
}
