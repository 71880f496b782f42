import { z } from "zod";
import { pathIsValid } from "../paths.ts";
import { KINDS } from "./detect/index.ts";

const RULES_MAX = 200;
const KEY_LENGTH_MIN = 16;

/** Names that hold personal data in most systems, at any depth. */
const DEFAULT_NAMES = ["email", "phone", "phone_number", "password", "ssn", "iban", "card_number", "credit_card"];
/** Detectors that hardly ever take something else for personal data. */
const DEFAULT_DETECT = ["email", "card", "iban"] as const;

const rule = z
  .strictObject({
    path: z
      .string()
      .superRefine(pathIsValid)
      .optional()
      .describe(
        'Where in the payload: `user.email`, `items[*].phone`, `*.email`, `**.password` (any depth), `card_*`, `["a.b"]`. With `detect`, all text there and below is searched; without a path, all of the payload.',
      ),
    detect: z
      .array(z.enum(KINDS))
      .min(1)
      .optional()
      .describe("Act only on what looks like one of these: `email`, `phone`, `ip`, `card` (Luhn), `iban` (checksum)."),
    action: z
      .enum(["drop", "mask", "hash", "truncate"])
      .default("mask")
      .describe(
        "`drop` removes the member; `mask` puts `mask_with` in its place; `hash` puts HMAC-SHA256 with `key` in its place, in hex, so that equal values stay equal; `truncate` keeps the characters of `keep_first` and `keep_last`. With `detect`, `drop` removes the member that holds the text, and the others replace what was found in it.",
      ),
    mask_with: z
      .string()
      .max(256)
      .default("***")
      .describe("What a masked value, or what `truncate` cuts out, becomes."),
    keep_first: z.int().min(0).max(1_000).default(0).describe("Characters that `truncate` keeps at the start."),
    keep_last: z.int().min(0).max(1_000).default(0).describe("Characters that `truncate` keeps at the end."),
  })
  .superRefine((rule, ctx) => {
    if (rule.path === undefined && rule.detect === undefined)
      ctx.addIssue({ code: "custom", message: 'a rule needs a "path", a "detect", or both' });
    const kept = rule.keep_first + rule.keep_last;
    if (rule.action === "truncate" && kept === 0)
      ctx.addIssue({ code: "custom", path: ["action"], message: "truncate needs keep_first or keep_last" });
    if (rule.action !== "truncate" && kept > 0)
      ctx.addIssue({ code: "custom", path: ["action"], message: "keep_first and keep_last are for truncate" });
  });

export type Rule = z.output<typeof rule>;

/** Options of pii_scrubber. */
export const config = z
  .strictObject({
    rules: z
      .array(rule)
      .max(RULES_MAX)
      .default(() => defaultRules())
      .meta({
        examples: [
          [
            { path: "user.name", action: "drop" },
            { detect: ["email", "card"], action: "mask" },
          ],
        ],
      })
      .describe(
        `What to remove. Without it, masked: members named ${DEFAULT_NAMES.join(", ")} at any depth, and each ${DEFAULT_DETECT.join(", ")} found in any text.`,
      ),
    key: z
      .string()
      .min(KEY_LENGTH_MIN)
      .optional()
      .meta({ secret: true })
      .describe(`The key of \`hash\`, ${KEY_LENGTH_MIN} characters or more. Whoever has it can test guesses.`),
    phone_region: z
      .string()
      .regex(/^[A-Z]{2}$/, "two capital letters, e.g. VN")
      .optional()
      .describe("Country whose national phone numbers are found, e.g. `VN`. Without it only those with a `+`."),
  })
  .superRefine(({ rules, key }, ctx) => {
    const index = rules.findIndex((rule) => rule.action === "hash");
    if (index !== -1 && key === undefined)
      ctx.addIssue({ code: "custom", path: ["rules", index, "action"], message: 'hash needs a "key"' });
  });

export type Config = z.output<typeof config>;

function defaultRules(): Rule[] {
  const base = { action: "mask", mask_with: "***", keep_first: 0, keep_last: 0 } as const;
  return [...DEFAULT_NAMES.map((name) => ({ ...base, path: `**.${name}` })), { ...base, detect: [...DEFAULT_DETECT] }];
}
