import { z } from "zod";

/** Options of file_sink. */
export const config = z.strictObject({
  path: z
    .string()
    .min(1)
    .describe("The file to append to; its folder must exist. Made when missing, readable by its owner."),
  rotate_bytes: z
    .int()
    .min(1)
    .optional()
    .describe(
      "Before the file would grow beyond this, it is set aside under a name with the time, and a new one begun.",
    ),
  rotate_secs: z.int().min(1).optional().describe("A file that is so old is set aside likewise, at the next delivery."),
});

export type Config = z.output<typeof config>;
