import { hasOwnSpellings } from "../../../core/canonical/codec.ts";
import {
  type CanonicalEvent,
  definePlugin,
  type PluginContext,
  type TransformOutcome,
  type TransformPlugin,
} from "../../contract.ts";
import { type Config, config } from "./config.ts";
import { compile, type Step } from "./rules.ts";

const NAME = "field_normalizer";
const VERSION = "1.0.0";

export default definePlugin({
  kind: "transform",
  name: NAME,
  version: VERSION,
  summary: "Renames, moves, casts, fills, trims, converts and removes members of the payload",
  config,
  create: () => new FieldNormalizer(),
});

class FieldNormalizer implements TransformPlugin {
  readonly name = NAME;
  readonly version = VERSION;
  #steps: readonly Step[] = [];

  async init(options: unknown): Promise<void> {
    this.#steps = compile((options as Config).rules);
  }

  async process(event: CanonicalEvent, { metrics }: PluginContext): Promise<TransformOutcome> {
    try {
      let payload = event.payload;
      const watcher = {
        ownSpellings: hasOwnSpellings(event),
        unfit: () => metrics.count("unfit_values_total"),
        conflict: () => metrics.count("name_conflicts_total"),
      };
      for (const step of this.#steps) payload = step(payload, watcher);
      return { type: "ok", event: payload === event.payload ? event : { ...event, payload } };
    } catch (error) {
      // A value that does not fit, or a payload too deep to be searched.
      return { type: "error", reason: (error as Error).message, retryable: false };
    }
  }
}
