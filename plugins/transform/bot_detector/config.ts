import { z } from "zod";
import { fieldIsValid } from "../paths.ts";

/** Options of bot_detector. */
export const config = z.strictObject({
  field: z.string().superRefine(fieldIsValid).default("user_agent").describe("Where the user agent is."),
  action: z
    .enum(["tag", "drop"])
    .default("tag")
    .describe("`tag` puts what was found at `target`; `drop` keeps the event from all sinks, counted as filtered."),
  target: z
    .string()
    .superRefine(fieldIsValid)
    .default("bot")
    .describe("tag: where it goes. What stood there before is replaced; of others the event stays as it is."),
  missing: z
    .enum(["ignore", "bot"])
    .default("ignore")
    .describe(
      "What an event without a user agent, or with an empty one, is. Browsers always send one; servers need not.",
    ),
  allow: z
    .array(z.string().min(1).max(256))
    .max(200)
    .default([])
    .describe(
      "Parts of user agents that are no bots whatever else is found, e.g. your own monitor's name. In any case.",
    ),
  webdriver_field: z
    .string()
    .superRefine(fieldIsValid)
    .optional()
    .describe("Where the page reports `navigator.webdriver`; `true` means a browser that is driven by a program."),
  honeypot_field: z
    .string()
    .superRefine(fieldIsValid)
    .optional()
    .describe("A form field that people do not see; whoever fills it in is a bot."),
});

export type Config = z.output<typeof config>;
