import { type CanonicalEvent, definePlugin, type TransformOutcome, type TransformPlugin } from "../../contract.ts";
import { type Config, config } from "./config.ts";
import { parsePath } from "./paths.ts";
import { type Rule, scrub } from "./scrub.ts";

const NAME = "pii_scrubber";
const VERSION = "1.0.0";

export default definePlugin({
  kind: "transform",
  name: NAME,
  version: VERSION,
  summary: "Removes or masks personal data in the payload, by path",
  config,
  create: () => new PiiScrubber(),
});

class PiiScrubber implements TransformPlugin {
  readonly name = NAME;
  readonly version = VERSION;
  #rules: readonly Rule[] = [];

  async init(options: unknown): Promise<void> {
    this.#rules = (options as Config).rules.map((rule) => ({
      steps: parsePath(rule.path),
      action: rule.action === "drop" ? { type: "drop" } : { type: "mask", with: rule.mask_with },
    }));
  }

  async process(event: CanonicalEvent): Promise<TransformOutcome> {
    try {
      const payload = scrub(event.payload, this.#rules);
      return { type: "ok", event: payload === event.payload ? event : { ...event, payload } };
    } catch (error) {
      // Too deep to be searched: passing it on could pass on what had to be removed.
      return { type: "error", reason: (error as Error).message, retryable: false };
    }
  }
}
