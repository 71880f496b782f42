import type { CanonicalEvent, PluginContext, SinkDefinition, SinkOutcome, SinkPlugin } from "../../plugins/contract.ts";

export type Behaviour = (
  events: readonly CanonicalEvent[],
  ctx: PluginContext,
) => Promise<readonly SinkOutcome[]> | readonly SinkOutcome[];

/** A sink that does what a test says, and remembers what it took, by event id. */
export class FakeSink {
  behave: Behaviour = (events) => events.map(() => ({ type: "ok" }));
  init: () => Promise<void> = async () => undefined;
  /** Event id → how often it was answered `ok`. */
  readonly taken = new Map<string, number>();
  /** Ids of each call, in order. */
  readonly calls: string[][] = [];
  closed = 0;
  instances = 0;

  /** `single`: without `sendBatch`. */
  definition(name: string, options: { readonly single?: boolean; readonly keepsOrder?: boolean } = {}): SinkDefinition {
    return {
      kind: "sink",
      name,
      version: "1.2.3",
      summary: "Does what a test says",
      create: () => {
        this.instances += 1;
        const plugin = this.#plugin(name, options.single === true);
        if (options.keepsOrder === true) plugin.keepsOrder = true;
        return plugin;
      },
    };
  }

  #plugin(name: string, single: boolean): SinkPlugin {
    const plugin: SinkPlugin = {
      name,
      version: "1.2.3",
      init: () => this.init(),
      send: async (event, ctx) => (await this.#run([event], ctx))[0] as SinkOutcome,
      close: async () => {
        this.closed += 1;
      },
    };
    if (!single) plugin.sendBatch = (events, ctx) => this.#run(events, ctx);
    return plugin;
  }

  async #run(events: readonly CanonicalEvent[], ctx: PluginContext): Promise<readonly SinkOutcome[]> {
    this.calls.push(events.map((event) => event.event_id));
    const outcomes = await this.behave(events, ctx);
    events.forEach((event, i) => {
      if (outcomes[i]?.type === "ok") this.taken.set(event.event_id, (this.taken.get(event.event_id) ?? 0) + 1);
    });
    return outcomes;
  }
}
