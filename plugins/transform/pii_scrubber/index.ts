import { type CanonicalEvent, definePlugin, type TransformOutcome, type TransformPlugin } from "../../contract.ts";
import { type Config, config } from "./config.ts";
import { compile, type Scrub } from "./scrub.ts";

const NAME = "pii_scrubber";
const VERSION = "1.0.0";

export default definePlugin({
  kind: "transform",
  name: NAME,
  version: VERSION,
  summary: "Drops, masks, hashes or truncates personal data in the payload, by path and by what it looks like",
  config,
  create: () => new PiiScrubber(),
});

class PiiScrubber implements TransformPlugin {
  readonly name = NAME;
  readonly version = VERSION;
  #scrub: Scrub = (payload) => payload;

  async init(options: unknown): Promise<void> {
    this.#scrub = compile(options as Config);
  }

  async process(event: CanonicalEvent): Promise<TransformOutcome> {
    try {
      const payload = this.#scrub(event.payload);
      return { type: "ok", event: payload === event.payload ? event : { ...event, payload } };
    } catch (error) {
      // Too deep to be searched: passing it on could pass on what had to be removed.
      return { type: "error", reason: (error as Error).message, retryable: false };
    }
  }
}
