import { describe, expect, test } from "vitest";
import { type SinkSuite, sinkChecks } from "../../plugins/testing/sink.ts";

/** The promises of a built-in sink, on a target that can be harmed in all ways but those that `lacking` names. */
export function sinkConformance(suite: SinkSuite, lacking: readonly string[] = []): void {
  describe(`${suite.definition.name} as a sink`, () => {
    const unchecked: string[] = [];
    test.each([...sinkChecks(suite)])("$name", async ({ run }) => {
      const skipped = await run();
      if (skipped !== undefined) unchecked.push(skipped);
    });

    test("is checked in every way but those that are named", () => {
      expect(unchecked).toEqual(lacking.map((what) => `the target has no ${what}`));
    });
  });
}
