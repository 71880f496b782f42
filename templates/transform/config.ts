import { z } from "zod";

export const config = z.object({
  member: z.string().min(1).default("tag").describe("Name of the member."),
  value: z.string().default("seen").describe("Its value."),
});

export type Config = z.output<typeof config>;
