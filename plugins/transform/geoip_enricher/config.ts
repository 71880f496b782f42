import { z } from "zod";
import { fieldIsValid } from "../paths.ts";
import { databaseFault } from "./database-file.ts";

/** Options of geoip_enricher. */
export const config = z.strictObject({
  databases: z
    .array(z.string().min(1).superRefine(databaseIsReadable))
    .max(8)
    .default([])
    .describe(
      "MaxMind DB files (`.mmdb`), e.g. one of cities and one of networks (ASN). Without it those of PULSEGATE_GEOIP_DATABASE, several with `:` between them, else what geoipupdate leaves in /var/lib/GeoIP or /usr/share/GeoIP. Read anew when they change.",
    ),
  field: z
    .string()
    .superRefine(fieldIsValid)
    .default("ip")
    .describe(
      "Where the address is: one, with a port or not, or a list as in X-Forwarded-For, of which the first public one counts.",
    ),
  target: z
    .string()
    .superRefine(fieldIsValid)
    .default("geo")
    .describe("Where the place goes; what stood there before is replaced."),
  language: z
    .string()
    .regex(/^[A-Za-z-]{2,8}$/)
    .default("en")
    .describe("Of the names, where the database has it; else English."),
  check_every_ms: z
    .int()
    .min(100)
    .max(3_600_000)
    .default(10_000)
    .describe("How often the files are looked at for a change."),
});

export type Config = z.output<typeof config>;

function databaseIsReadable(path: string, ctx: z.core.$RefinementCtx<string>): void {
  const fault = databaseFault(path);
  if (fault !== undefined) ctx.addIssue({ code: "custom", message: fault });
}
