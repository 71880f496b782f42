import { parentPort } from "node:worker_threads";
import { startCrowd } from "./crowd.ts";
import { type Aggression, AGGRESSORS } from "./kinds.ts";
import { eventWith } from "./marks.ts";
import type { AggressorSums, Order } from "./messages.ts";
import { overload } from "./overload.ts";
import { type Sender, startSender } from "./sender.ts";
import { startSink } from "./sink.ts";

/**
 * Where the aggressors send from and are delivered to: a thread of its own, so that what they cost the
 * generator is not taken for what they cost PulseGate.
 */
interface Attack {
  readonly sender: Sender;
  readonly scatter: () => void;
}

const port = parentPort;
if (port === null) throw new Error("this module runs in a worker thread");

const DRAIN_MS = 30_000;
const LOOK_MS = 20;
/** Of events that are accepted, and of those that the sink took or refused for good. */
const accepted = new Set<number>();
const settled = new Set<number>();
let next = 0;
let refused = 0;
let attack: Attack | undefined;

const sink = await startSink(({ n }) => settled.add(n));
port.on("message", (order: Order) => {
  void answer(order).then((reply) => port.postMessage(reply));
});
port.postMessage({ sinkUrl: sink.url });

function answer(order: Order): Promise<unknown> {
  if (order.type === "overload") return overload(order.doors, order.ms);
  return order.type === "begin" ? begin(order) : end(order.drains);
}

async function begin({ kind, door, victimRate }: Extract<Order, { type: "begin" }>): Promise<null> {
  const { times, bytes, behave, connections = 0 }: Aggression = AGGRESSORS[kind];
  accepted.clear();
  settled.clear();
  refused = 0;
  sink.forgive(false);
  const sender = startSender({
    ...door,
    rate: victimRate * times,
    from: next,
    body: (n) => eventWith({ n, behave: behave?.(n) ?? "take" }, bytes),
    onAnswer: ({ n, status }) => {
      if (status === 202) accepted.add(n);
      else refused += 1;
    },
  });
  attack = { sender, scatter: startCrowd(door.url, connections) };
  return null;
}

async function end(drains: boolean): Promise<AggressorSums> {
  next = (await attack?.sender.stop()) ?? next;
  attack?.scatter();
  attack = undefined;
  const sums = { accepted: accepted.size, refused };
  sink.forgive(true);
  if (drains) await drained();
  return sums;
}

async function drained(): Promise<void> {
  const until = performance.now() + DRAIN_MS;
  while ([...accepted].some((n) => !settled.has(n)) && performance.now() < until) {
    await new Promise((looked) => setTimeout(looked, LOOK_MS));
  }
}
