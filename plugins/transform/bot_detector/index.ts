import { type CanonicalEvent, definePlugin, type TransformOutcome, type TransformPlugin } from "../../contract.ts";
import { type Field, parseField, readField, withField } from "../paths.ts";
import { type Config, config } from "./config.ts";
import { oddity, type Reason } from "./detect.ts";

const NAME = "bot_detector";
const VERSION = "1.0.0";

export default definePlugin({
  kind: "transform",
  name: NAME,
  version: VERSION,
  summary: "Tags or drops events of bots, by their user agent and by what people don't do",
  config,
  create: () => new BotDetector(),
});

class BotDetector implements TransformPlugin {
  readonly name = NAME;
  readonly version = VERSION;
  #options: Config = config.parse({});
  #field: Field = [];
  #target: Field = [];
  #webdriver: Field | undefined;
  #honeypot: Field | undefined;
  #allow: readonly string[] = [];

  async init(options: unknown): Promise<void> {
    this.#options = options as Config;
    const { field, target, webdriver_field, honeypot_field, allow } = this.#options;
    this.#field = parseField(field);
    this.#target = parseField(target);
    this.#webdriver = webdriver_field === undefined ? undefined : parseField(webdriver_field);
    this.#honeypot = honeypot_field === undefined ? undefined : parseField(honeypot_field);
    this.#allow = allow.map((part) => part.toLowerCase());
  }

  async process(event: CanonicalEvent): Promise<TransformOutcome> {
    const reasons = this.#reasons(event.payload);
    if (reasons.length === 0) return { type: "ok", event };
    if (this.#options.action === "drop") return { type: "drop", reason: reasons[0] as string };
    const payload = withField(event.payload, this.#target, { detected: true, reasons });
    // Something else stands in the target's way: a tag is no reason to lose an event.
    return { type: "ok", event: payload === undefined ? event : { ...event, payload } };
  }

  #reasons(payload: Readonly<Record<string, unknown>>): Reason[] {
    const userAgent = readField(payload, this.#field);
    if (this.#isAllowed(userAgent)) return [];
    const reasons: Reason[] = [];
    const found = oddity(userAgent);
    if (found !== undefined && !(found === "missing" && this.#options.missing === "ignore")) reasons.push(found);
    if (this.#webdriver !== undefined && readField(payload, this.#webdriver) === true) reasons.push("webdriver");
    if (this.#honeypot !== undefined && isFilled(readField(payload, this.#honeypot))) reasons.push("honeypot");
    return reasons;
  }

  #isAllowed(userAgent: unknown): boolean {
    if (this.#allow.length === 0 || typeof userAgent !== "string") return false;
    const text = userAgent.toLowerCase();
    return this.#allow.some((part) => text.includes(part));
  }
}

/** Forms send what is left alone as an empty text, an unticked box as false. */
function isFilled(value: unknown): boolean {
  return value !== undefined && value !== null && value !== "" && value !== false;
}
