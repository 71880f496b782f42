import { type CanonicalEvent, definePlugin, type TransformOutcome, type TransformPlugin } from "pulsegate/plugin";
import { type Config, config } from "./config.ts";

const NAME = "my_transform";
const VERSION = "0.1.0";

export default definePlugin({
  kind: "transform",
  name: NAME,
  version: VERSION,
  summary: "Adds a member to each payload",
  config,
  create: () => new Transform(),
});

class Transform implements TransformPlugin {
  readonly name = NAME;
  readonly version = VERSION;
  #config: Config = { member: "", value: "" };

  async init(options: unknown): Promise<void> {
    this.#config = options as Config;
  }

  async process(event: CanonicalEvent): Promise<TransformOutcome> {
    const { member, value } = this.#config;
    // A new event: others may still look at the one that was given.
    return { type: "ok", event: { ...event, payload: { ...event.payload, [member]: value } } };
  }
}
