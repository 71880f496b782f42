import { thrownOf } from "./messages.ts";
import type {
  CanonicalEvent,
  PluginContext,
  SinkOutcome,
  SinkPlugin,
  TransformPlugin,
} from "../../plugins/contract.ts";

/** Calls of a sink without `sendBatch` that run side by side. */
const SENDS_MAX = 16;

/** Whether an instance has the method that its kind promises. */
export function hasMethod(plugin: TransformPlugin | SinkPlugin, kind: "transform" | "sink"): boolean {
  return typeof Reflect.get(plugin, kind === "transform" ? "process" : "send") === "function";
}

/** `sendBatch` for a sink that has none: one outcome for each event, in order; a throw is `retry`. */
export async function sendEach(
  sink: SinkPlugin,
  events: readonly CanonicalEvent[],
  context: PluginContext,
): Promise<SinkOutcome[]> {
  const outcomes: SinkOutcome[] = [];
  const left = events.entries();
  const lane = async () => {
    for (const [i, event] of left) outcomes[i] = await sendOne(sink, event, context);
  };
  await Promise.all(Array.from({ length: Math.min(SENDS_MAX, events.length) }, lane));
  return outcomes;
}

async function sendOne(sink: SinkPlugin, event: CanonicalEvent, context: PluginContext): Promise<SinkOutcome> {
  try {
    return await sink.send(event, context);
  } catch (error) {
    const { message, code } = thrownOf(error);
    return { type: "retry", reason: message, ...(code === undefined ? {} : { code }) };
  }
}
