import { z } from "zod";
import { definePlugin } from "../../plugins/contract.ts";
import type { SinkPlugin, TransformPlugin } from "../../plugins/contract.ts";
import { parseConfig } from "../../config/parse.ts";
import type { ParseOptions, ParseResult } from "../../config/parse.ts";
import { formatProblem } from "../../config/problems.ts";

const sink: SinkPlugin = { name: "fixture", version: "1.0.0", send: async () => ({ type: "ok" }) };
const transform: TransformPlugin = {
  name: "fixture",
  version: "1.0.0",
  process: async (event) => ({ type: "ok", event }),
};

/** A sink with every kind of option, strict by nobody's doing. */
export const postgresLike = definePlugin({
  kind: "sink",
  name: "postgres_sink",
  version: "1.2.3",
  summary: "Rows into a table.",
  config: z.object({
    url: z
      .string()
      .refine((url) => url.startsWith("postgres:"), { error: ({ input }) => `${String(input)} is no address` })
      .meta({ secret: true })
      .describe("Where the database is."),
    table: z
      .string()
      .refine((name) => !name.startsWith("bad"), { error: ({ input }) => `${String(input)} is no table` })
      .default("events")
      .describe("The table."),
    pool: z.number().int().min(1).max(64).default(4).describe("Connections."),
    tls: z.boolean().default(false).describe("Whether to encrypt."),
    mode: z.enum(["json", "text"]).default("json").describe("How payloads are kept."),
  }),
  create: () => sink,
});

export const kafkaLike = definePlugin({
  kind: "sink",
  name: "kafka_sink",
  version: "1.0.0",
  summary: "Records into a topic.",
  config: z.strictObject({ topic: z.string().describe("The topic.") }),
  create: () => sink,
});

export const scrubber = definePlugin({
  kind: "transform",
  name: "pii_scrubber",
  version: "1.0.0",
  summary: "Takes personal data out.",
  create: () => transform,
});

export const enricher = definePlugin({
  kind: "transform",
  name: "geoip_enricher",
  version: "1.0.0",
  summary: "Adds places.",
  create: () => transform,
});

export const PLUGIN_FIXTURES = [postgresLike, kafkaLike, scrubber, enricher];

export function parse(text: string, options: Partial<ParseOptions> = {}): ParseResult {
  return parseConfig({
    text,
    file: "pulsegate.yaml",
    plugins: PLUGIN_FIXTURES,
    env: {},
    mode: "production",
    ...options,
  });
}

/** The problems of a text as a user reads them. */
export function problemsOf(text: string, options: Partial<ParseOptions> = {}): string[] {
  const result = parse(text, options);
  return result.ok ? [] : result.problems.map(formatProblem);
}

export const FOUNDING = `tenants:
  - id: tenant_shop_1
    plugins:
      transform:
        - name: geoip_enricher
        - name: pii_scrubber
      sinks:
        - name: postgres_sink
          config:
            table: events_raw
        - name: kafka_sink
          config:
            topic: analytics_events
`;
