import { describe, expect, test } from "vitest";
import { parse, problemsOf } from "../tests/helpers/config-fixtures.ts";

/** A file with this line in its only sink, the seventh. */
const withOrdering = (line: string, partitions = 1) => `tenants:
  - id: a
    partitions: ${partitions}
    plugins:
      sinks:
        - name: kafka_sink
          ${line}
          config: { topic: t }
`;

function orderingOf(text: string) {
  const result = parse(text);
  if (!result.ok) throw new Error(result.problems.map(({ message }) => message).join("\n"));
  return result.config.draft.tenants[0]?.sinks[0]?.ordering;
}

describe("a sink's ordering", () => {
  test.each([
    ["ordering: stream", "stream"],
    ["ordering: { key: /order_id }", { key: "/order_id" }],
    ["ordering: { key: /order/id }", { key: "/order/id" }],
    ["", undefined],
  ])("%s is taken over", (line, ordering) => {
    expect(orderingOf(withOrdering(line))).toEqual(ordering);
  });

  const AT = "tenants[0].plugins.sinks[0].ordering";
  const POINTER = "expected where the key lies in the payload, like /order_id or /order/id";
  test.each([
    ["ordering: key", `7:21: ${AT}: expected "stream", or a key like { key: /order_id }`],
    ["ordering: 3", `7:21: ${AT}: expected "stream", or a key like { key: /order_id }`],
    ["ordering: { key: order_id }", `7:28: ${AT}.key: ${POINTER}`],
    ["ordering: { key: /a~2 }", `7:28: ${AT}.key: ${POINTER}`],
    ["ordering: {}", `7:21: ${AT}: "key" is missing (add it)`],
    ["ordering: { key: /a, kye: /b }", `7:32: ${AT}: unknown key "kye" (did you mean "key"?)`],
  ])("%s is refused", (line, problem) => {
    expect(problemsOf(withOrdering(line))).toEqual([expect.stringContaining(problem)]);
  });

  test("by key is refused where a key's events lie in several partitions; by stream it is not", () => {
    expect(problemsOf(withOrdering("ordering: { key: /order_id }", 4))).toEqual([
      expect.stringContaining(`7:21: ${AT}: events of one key are spread over the tenant's 4 partitions`),
    ]);
    expect(orderingOf(withOrdering("ordering: stream", 4))).toBe("stream");
  });
});
