import { z } from "zod";

export const config = z.object({
  url: z
    .url()
    .describe("Where to post.")
    .meta({ examples: ["http://127.0.0.1:9000/events"] }),
  token: z.string().optional().meta({ secret: true }).describe("Sent as a bearer token."),
});

export type Config = z.output<typeof config>;
