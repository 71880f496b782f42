import type { Clock, Random } from "../../core/environment.ts";
import { type CanonicalEvent, definePlugin, type PluginDefinition, type SinkOutcome } from "../../plugins/contract.ts";

const OK: SinkOutcome = { type: "ok" };
const REFUSED: SinkOutcome = { type: "error", reason: "the row is bad", code: "23514" };
const OUT: SinkOutcome = { type: "retry", reason: "out", unavailable: true };

/** Sinks that remember by whom each event reached them, and refuse some while they are ill. */
export class JobWorld {
  readonly #clock: Clock;
  readonly #random: Random;
  /** `sink event` → who delivered it: `live` or a job's id. */
  readonly #delivered = new Map<string, Set<string>>();
  readonly #sinks: readonly string[];
  #isIll = false;
  #outUntil = 0;

  constructor(options: { readonly sinks: readonly string[]; readonly clock: Clock; readonly random: Random }) {
    this.#sinks = options.sinks;
    this.#clock = options.clock;
    this.#random = options.random;
  }

  fallIll(): void {
    this.#isIll = true;
  }

  recover(): void {
    this.#isIll = false;
  }

  /** The first sink is out for so long. */
  fail(ms: number): void {
    this.#outUntil = this.#clock.monotonic() + ms;
  }

  wasDelivered(sink: string, eventId: string, by: string): boolean {
    return this.#delivered.get(`${sink} ${eventId}`)?.has(by) ?? false;
  }

  /** A sink by its id, and the transform `drops`, which drops every seventh event. */
  findPlugin(name: string): PluginDefinition | undefined {
    const base = { name, version: "1.0.0", summary: "of the simulation" };
    if (name === "drops") {
      return definePlugin({
        ...base,
        kind: "transform",
        create: () => ({
          ...base,
          process: async (event) => (isDropped(event) ? { type: "drop", reason: "seventh" } : { type: "ok", event }),
        }),
      });
    }
    if (!this.#sinks.includes(name)) return undefined;
    const sendBatch = async (events: readonly CanonicalEvent[], by: string) => {
      await this.#clock.sleep(Math.floor(this.#random() * 15));
      return events.map((event) => this.#take(name, event, by));
    };
    return definePlugin({
      ...base,
      kind: "sink",
      create: () => ({
        ...base,
        send: async (event, { replayId }) => (await sendBatch([event], replayId ?? "live"))[0] ?? OK,
        sendBatch: (events, { replayId }) => sendBatch(events, replayId ?? "live"),
      }),
    });
  }

  #take(sink: string, event: CanonicalEvent, by: string): SinkOutcome {
    if (sink === this.#sinks[0] && this.#clock.monotonic() < this.#outUntil) return OUT;
    if (this.#isIll && numberOf(event) % 3 === 0) return REFUSED;
    const key = `${sink} ${event.event_id}`;
    const who = this.#delivered.get(key);
    if (who === undefined) this.#delivered.set(key, new Set([by]));
    else who.add(by);
    return OK;
  }
}

export function isDropped(event: CanonicalEvent): boolean {
  return numberOf(event) % 7 === 6;
}

function numberOf(event: CanonicalEvent): number {
  return Number(event.event_id.slice(1));
}
