import { z } from "zod";
import { isPayloadPointer } from "../core/canonical/payload-key.ts";
import { formatPath, valueAt } from "./problems.ts";
import type { Problem } from "./problems.ts";
import type { Source } from "./source.ts";

const ORDERING_ERROR = 'expected "stream", or a key like { key: /order_id }';

const Key = z.strictObject(
  {
    key: z
      .string()
      .refine(isPayloadPointer, "expected where the key lies in the payload, like /order_id or /order/id")
      .describe(
        "Where the key lies in the payload, as a JSON pointer. Events whose payload has none there are in no order.",
      ),
  },
  ORDERING_ERROR,
);

const Stream = z
  .string()
  .regex(/^stream$/, ORDERING_ERROR)
  .transform(() => "stream" as const);

/** The keys of a sink that say in which order it gets its events. */
export const orderingKeys = {
  ordering: z
    .union([Key, Stream])
    .optional()
    .describe(
      "Order in which events reach the sink. `{ key: /order_id }`: those with one key in the log's order, each when the one before it is delivered or a dead letter; one that fails holds up its own key alone. Takes `partitions: 1`. `stream`: all events of a partition so; one that fails holds up the lane. Without it, an event that fails is passed by others.",
    ),
};

/** Events of one key lie in all partitions, whose lanes do not wait for one another. */
export function checkOrderings({ value, source }: { readonly value: unknown; readonly source: Source }): Problem[] {
  const problems: Problem[] = [];
  for (const tenant of indexesAt(value, ["tenants"])) {
    const partitions = valueAt(value, ["tenants", tenant, "partitions"]);
    if (typeof partitions !== "number" || partitions <= 1) continue;
    const sinks = ["tenants", tenant, "plugins", "sinks"];
    for (const sink of indexesAt(value, sinks)) {
      const path = [...sinks, sink, "ordering"];
      if (valueAt(value, [...path, "key"]) === undefined) continue;
      problems.push({
        file: source.file,
        ...source.placeOf(path),
        message: `${formatPath(path)}: events of one key are spread over the tenant's ${partitions} partitions, each of which is delivered by itself`,
        hint: "give the tenant `partitions: 1`, or use `ordering: stream`, which keeps the order within each partition",
      });
    }
  }
  return problems;
}

function indexesAt(root: unknown, path: readonly (string | number)[]): number[] {
  const list = valueAt(root, path);
  return Array.isArray(list) ? [...list.keys()] : [];
}
