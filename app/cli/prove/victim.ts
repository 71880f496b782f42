import { setTimeout as pause } from "node:timers/promises";
import { eventWith } from "./marks.ts";
import { type Door, startSender } from "./sender.ts";
import { startSink, type TrialSink } from "./sink.ts";

/** What the victim saw in one window; times in milliseconds. */
export interface Sight {
  readonly accept: readonly number[];
  /** From sent to delivered; infinite for what did not come within the patience. */
  readonly delivery: readonly number[];
  readonly refused: number;
}

/** How long the deliveries of a window are waited for, beyond its end. */
const PATIENCE_MS = 5_000;
const LOOK_MS = 5;

/** A tenant that sends at a steady rate, and notes when each event is accepted and when it is delivered. */
export class Victim {
  readonly sink: TrialSink;
  readonly #deliveredAt: Map<number, number>;
  #next = 0;

  private constructor(sink: TrialSink, deliveredAt: Map<number, number>) {
    this.sink = sink;
    this.#deliveredAt = deliveredAt;
  }

  static async start(): Promise<Victim> {
    const deliveredAt = new Map<number, number>();
    const sink = await startSink(({ n }) => {
      if (!deliveredAt.has(n)) deliveredAt.set(n, performance.now());
    });
    return new Victim(sink, deliveredAt);
  }

  async window({
    door,
    rate,
    ms,
  }: {
    readonly door: Door;
    readonly rate: number;
    readonly ms: number;
  }): Promise<Sight> {
    const sentAt = new Map<number, number>();
    const accept: number[] = [];
    let refused = 0;
    const sender = startSender({
      ...door,
      rate,
      from: this.#next,
      // Apart from the numbers of others that may share its tenant.
      body: (n) => eventWith({ n: markNumber(n), behave: "take" }),
      onAnswer: ({ n, status, sentAt: at }) => {
        if (status !== 202) {
          refused += 1;
          return;
        }
        accept.push(performance.now() - at);
        sentAt.set(n, at);
      },
    });
    await pause(ms);
    this.#next = await sender.stop();
    const until = performance.now() + PATIENCE_MS;
    const isOut = (n: number): boolean => !this.#deliveredAt.has(markNumber(n));
    while ([...sentAt.keys()].some(isOut) && performance.now() < until) await pause(LOOK_MS);
    const delivery = [...sentAt].map(([n, at]) => (this.#deliveredAt.get(markNumber(n)) ?? Infinity) - at);
    this.#deliveredAt.clear();
    return { accept, delivery, refused };
  }
}

const VICTIM_MARKS = 1e9;

function markNumber(n: number): number {
  return VICTIM_MARKS + n;
}
