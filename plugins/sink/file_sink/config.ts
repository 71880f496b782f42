import { z } from "zod";

/** Options of file_sink. */
export const config = z.strictObject({
  path: z
    .string()
    .min(1)
    .describe("The file to append to; its folder must exist. Made when missing, readable by its owner."),
});

export type Config = z.output<typeof config>;
