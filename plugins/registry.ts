import type { PluginDefinition } from "./contract.ts";
import fileSink from "./sink/file_sink/index.ts";
import kafkaSink from "./sink/kafka_sink/index.ts";
import postgresSink from "./sink/postgres_sink/index.ts";
import webhookSink from "./sink/webhook_sink/index.ts";
import botDetector from "./transform/bot_detector/index.ts";
import businessRouter from "./transform/business_router/index.ts";
import fieldNormalizer from "./transform/field_normalizer/index.ts";
import geoipEnricher from "./transform/geoip_enricher/index.ts";
import piiScrubber from "./transform/pii_scrubber/index.ts";

/** The built-in plugins. One line here makes a folder under `sink/` or `transform/` known everywhere. */
export const PLUGINS: readonly PluginDefinition[] = [
  botDetector,
  businessRouter,
  fieldNormalizer,
  fileSink,
  geoipEnricher,
  kafkaSink,
  piiScrubber,
  postgresSink,
  webhookSink,
];

const byName = new Map(PLUGINS.map((plugin) => [plugin.name, plugin]));

/** The plugin of this name, if there is one. */
export function findPlugin(name: string): PluginDefinition | undefined {
  return byName.get(name);
}
