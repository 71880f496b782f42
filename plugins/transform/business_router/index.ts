import { withEventType } from "../../../core/canonical/codec.ts";
import { compileCondition, type Condition } from "../../../core/router/condition.ts";
import {
  type CanonicalEvent,
  definePlugin,
  type PluginContext,
  type TransformOutcome,
  type TransformPlugin,
} from "../../contract.ts";
import { editPayload, REMOVED } from "../edit.ts";
import { type Field, parseField, parsePath, readField, withField } from "../paths.ts";
import { type Config, config, type Decision } from "./config.ts";

const NAME = "business_router";
const VERSION = "1.0.0";

export default definePlugin({
  kind: "transform",
  name: NAME,
  version: VERSION,
  summary: "Gives events a route label or another event type, by conditions on what is in them",
  config,
  create: () => new BusinessRouter(),
});

interface Rule extends Decision {
  readonly condition: Condition;
}

class BusinessRouter implements TransformPlugin {
  readonly name = NAME;
  readonly version = VERSION;
  #options: Config = config.parse({});
  #rules: readonly Rule[] = [];
  #field: Field = [];
  #labels = false;

  async init(options: unknown): Promise<void> {
    this.#options = options as Config;
    const { rules, field, otherwise } = this.#options;
    this.#rules = rules.map((rule) => ({ ...rule, condition: compileCondition(rule.when) }));
    this.#field = parseField(field);
    this.#labels = [...rules, ...(otherwise === undefined ? [] : [otherwise])].some(({ route }) => route !== undefined);
  }

  async process(event: CanonicalEvent, ctx: PluginContext): Promise<TransformOutcome> {
    const decisions = this.#decisions(event, ctx);
    const event_type = decisions.findLast((decision) => decision.event_type !== undefined)?.event_type;
    const renamed = event_type === undefined ? event : withEventType(event, event_type);
    // Without labels the payload is not looked at, let alone written anew.
    if (!this.#labels) return { type: "ok", event: renamed };
    const labels = new Set(decisions.flatMap(({ route }) => (route === undefined ? [] : [route])));
    const payload = this.#labelled(event.payload, [...labels]);
    if (payload === undefined)
      return { type: "error", reason: `something stands in the way of ${this.#options.field}`, retryable: false };
    return { type: "ok", event: payload === event.payload ? renamed : { ...renamed, payload } };
  }

  #decisions(event: CanonicalEvent, { metrics }: PluginContext): readonly Decision[] {
    const { mode, otherwise } = this.#options;
    const decisions: Decision[] = [];
    for (const rule of this.#rules) {
      const { matched, fault } = rule.condition.evaluate(event);
      if (fault !== undefined) metrics.count("condition_faults_total");
      if (!matched) continue;
      decisions.push(rule);
      if (mode === "first") break;
    }
    return decisions.length > 0 || otherwise === undefined ? decisions : [otherwise];
  }

  #labelled(payload: Record<string, unknown>, labels: readonly string[]): Record<string, unknown> | undefined {
    if (labels.length > 0) return withField(payload, this.#field, this.#options.mode === "first" ? labels[0] : labels);
    // A label that a client made up must not send its event anywhere.
    if (readField(payload, this.#field) === undefined) return payload;
    const rules = [{ steps: parsePath(this.#options.field), action: REMOVED }];
    return editPayload(payload, { rules, edit: () => REMOVED });
  }
}
