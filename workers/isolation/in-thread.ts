import type {
  CanonicalEvent,
  PluginContext,
  PluginDefinition,
  SinkOutcome,
  SinkPlugin,
  TransformPlugin,
} from "../../plugins/contract.ts";
import type { Job, Runner, RunnerDied } from "./runner.ts";
import { hasMethod, sendEach } from "./instance.ts";

/** A plugin in the worker's own thread: as quick as a built-in one, and as able to do harm. */
export class InThread implements Runner {
  /** If it dies, so does whoever would be told. */
  readonly died = new Promise<RunnerDied>(() => undefined);
  readonly #load: () => Promise<PluginDefinition>;
  #plugin: (TransformPlugin & SinkPlugin) | undefined;

  constructor(load: () => Promise<PluginDefinition>) {
    this.#load = load;
  }

  async start(config: unknown): Promise<void> {
    const definition = await this.#load();
    const plugin = definition.create() as TransformPlugin & SinkPlugin;
    if (!hasMethod(plugin, definition.kind))
      throw new TypeError(`the instance lacks a method that a ${definition.kind} must have`);
    await plugin.init?.(config);
    this.#plugin = plugin;
  }

  async transform(jobs: readonly Job[]): Promise<void> {
    await Promise.all(
      jobs.map(async (job) => {
        try {
          job.resolve(await (this.#plugin as TransformPlugin).process(job.event, job.ctx));
        } catch (error) {
          job.reject(error);
        }
        job.answered = true;
      }),
    );
  }

  async deliver(events: readonly CanonicalEvent[], ctx: PluginContext): Promise<readonly SinkOutcome[]> {
    const sink = this.#plugin as SinkPlugin;
    return sink.sendBatch === undefined ? await sendEach(sink, events, ctx) : await sink.sendBatch(events, ctx);
  }

  async close(): Promise<void> {
    await this.#plugin?.close?.();
  }
}
