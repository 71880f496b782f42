import { z } from "zod";
import { parsePath } from "./paths.ts";

const RULES_MAX = 200;

/** Names that hold personal data in most systems, at any depth. */
const DEFAULT_PATHS = ["email", "phone", "phone_number", "password", "ssn", "iban", "card_number", "credit_card"];

const rule = z.strictObject({
  path: z
    .string()
    .superRefine(pathIsValid)
    .describe(
      'Where in the payload: `user.email`, `items[*].phone`, `*.email`, `**.password` (any depth), `card_*`, `["a.b"]`.',
    ),
  action: z
    .enum(["drop", "mask"])
    .default("mask")
    .describe("`drop` removes the member; `mask` puts `mask_with` in its place, whatever the value was."),
  mask_with: z.string().max(256).default("***").describe("What a masked value becomes."),
});

/** Options of pii_scrubber. */
export const config = z.strictObject({
  rules: z
    .array(rule)
    .max(RULES_MAX)
    .default(() => DEFAULT_PATHS.map((name) => ({ path: `**.${name}`, action: "mask" as const, mask_with: "***" })))
    .describe(`What to remove. Without it: ${DEFAULT_PATHS.join(", ")}, at any depth, masked.`),
});

export type Config = z.output<typeof config>;

function pathIsValid(path: string, ctx: z.core.$RefinementCtx<string>): void {
  try {
    parsePath(path);
  } catch (error) {
    ctx.addIssue({ code: "custom", message: `not a path: ${(error as Error).message}` });
  }
}
