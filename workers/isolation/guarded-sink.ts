import {
  BatchRejected,
  type CanonicalEvent,
  type PluginContext,
  type SinkOutcome,
  type SinkPlugin,
} from "../../plugins/contract.ts";
import type { GuardOptions } from "./guarded-transform.ts";
import { Resident } from "./resident.ts";
import { RunnerDied } from "./runner.ts";
import { CRASHES_MAX, type Suspects } from "./suspects.ts";

interface Delivery {
  readonly events: readonly CanonicalEvent[];
  readonly ctx: PluginContext;
  readonly done: PromiseWithResolvers<readonly SinkOutcome[]>;
  /** Holds a suspect: nothing else may be with the plugin meanwhile. */
  readonly isAlone: boolean;
}

/**
 * A sink that may die on an event. Deliveries run side by side, but one with a suspect runs alone. A
 * batch that the plugin died with is refused as a whole, so that the caller splits it until the
 * guilty event stands alone; the third time it is an error for good, if the sink works for others.
 */
export class GuardedSink implements SinkPlugin {
  readonly name: string;
  readonly version: string;
  readonly #resident: Resident;
  readonly #suspects: Suspects;
  readonly #queue: Delivery[] = [];
  #running = 0;
  #started = 0;
  #isAlone = false;
  /** It has taken an event since it was configured: what kills it now is the event, not the place. */
  #works = false;

  constructor(options: GuardOptions) {
    this.name = options.name;
    this.version = options.version;
    this.#suspects = options.suspects;
    this.#resident = new Resident({ ...options, onBack: () => this.#pump() });
  }

  init(config: unknown): Promise<void> {
    return this.#resident.start(config);
  }

  async send(event: CanonicalEvent, ctx: PluginContext): Promise<SinkOutcome> {
    const [outcome] = await this.sendBatch([event], ctx);
    return outcome as SinkOutcome;
  }

  sendBatch(events: readonly CanonicalEvent[], ctx: PluginContext): Promise<readonly SinkOutcome[]> {
    const done = Promise.withResolvers<readonly SinkOutcome[]>();
    if (events.some(({ event_id }) => this.#suspects.isGuilty(event_id))) return this.#condemn(events);
    const isAlone = events.some(({ event_id }) => this.#suspects.has(event_id));
    this.#queue.push({ events, ctx, done, isAlone });
    this.#pump();
    return done.promise;
  }

  async close(): Promise<void> {
    await this.#resident.close();
    this.#suspects.close();
  }

  #pump(): void {
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      if (next.ctx.signal.aborted) {
        this.#queue.shift();
        next.done.resolve(next.events.map(() => CANCELLED));
        continue;
      }
      if (this.#resident.runner === undefined || this.#isAlone || (next.isAlone && this.#running > 0)) return;
      this.#queue.shift();
      void this.#run(next);
    }
  }

  async #run({ events, ctx, done, isAlone }: Delivery): Promise<void> {
    const ids = events.map(({ event_id }) => event_id);
    this.#running += 1;
    this.#isAlone = isAlone;
    this.#suspects.took(ids);
    this.#started += 1;
    const { started, running } = { started: this.#started, running: this.#running };
    try {
      const outcomes = (await this.#resident.runner?.deliver(events, ctx)) ?? [];
      this.#suspects.cleared(ids);
      this.#resident.worked();
      this.#works ||= outcomes.some((outcome) => outcome?.type === "ok");
      done.resolve(outcomes);
    } catch (error) {
      const wasAlone = running === 1 && started === this.#started;
      if (error instanceof RunnerDied) this.#died({ ids, death: error, wasAlone, done });
      else {
        this.#suspects.cleared(ids);
        done.reject(error);
      }
    }
    this.#running -= 1;
    if (isAlone) this.#isAlone = false;
    this.#pump();
  }

  #died(end: {
    readonly ids: readonly string[];
    readonly death: RunnerDied;
    readonly wasAlone: boolean;
    readonly done: Delivery["done"];
  }): void {
    const { ids, death, wasAlone, done } = end;
    const { code, message } = death;
    // One that has taken nothing yet is out, whatever the event is.
    const crashes = this.#suspects.died(ids, wasAlone && this.#works);
    const [only] = ids;
    if (ids.length > 1 || only === undefined) return done.reject(new BatchRejected(code, message));
    if (crashes < CRASHES_MAX) return done.resolve([{ type: "retry", code, reason: message }]);
    done.resolve(this.#condemn([{ event_id: only }], code, message));
  }

  /** One that stands alone is given up; others the caller splits off. What killed it before this process began is not known any more. */
  async #condemn(
    events: readonly Pick<CanonicalEvent, "event_id">[],
    code = "plugin_crashed",
    how = `${this.name}@${this.version} crashed`,
  ): Promise<readonly SinkOutcome[]> {
    const reason = `${how}, ${CRASHES_MAX} times with this event alone`;
    const [only] = events;
    if (events.length > 1 || only === undefined) throw new BatchRejected(code, reason);
    this.#suspects.forget(only.event_id);
    return [{ type: "error", code, reason }];
  }
}

const CANCELLED: SinkOutcome = { type: "retry", code: "aborted", reason: "the delivery was cancelled" };
