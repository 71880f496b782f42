/**
 * What routing costs, in events per second and core: decoding alone is the reference, measured in turn
 * with decoding and a rule. Events of about 400 bytes, each decoded anew, as a lane does.
 */
import { Environment } from "@marcbachmann/cel-js";
import { decodeEvent, encodeParts } from "../core/canonical/codec.ts";
import type { CanonicalEvent } from "../core/canonical/event.ts";
import type { RouteRule } from "../core/ingestion/revision.ts";
import { compileCondition } from "../core/router/condition.ts";
import { compileRoute } from "../core/router/route.ts";
import { decodeOnly, runChain } from "../workers/chain.ts";
import { Calls } from "../workers/call.ts";
import { Pace } from "../workers/pace.ts";
import { Timers } from "../workers/timers.ts";
import { systemClock } from "../observability/system-clock.ts";
import { median } from "./lib/stats.ts";

const RULES: Readonly<Record<string, RouteRule>> = {
  include: { include: ["order_*", "refund_*"] },
  sample: { sampleShare: 0.1 },
  eventType: { when: 'event.event_type == "order_paid"' },
  payload: { when: 'event.payload.amount > 100 && event.payload.user.plan == "pro"' },
  list: { when: "event.payload.items.exists(item, item.price > 500)" },
  matches: { when: 'event.payload.agent.matches("(?i)bot|crawler|spider")' },
};
const EVENTS = 1_000;
/** As a lane takes them. */
const BATCH = 128;

export async function routing({ rounds, seconds }: { readonly rounds: number; readonly seconds: number }) {
  const bytes = Array.from({ length: EVENTS }, (_, i) => encoded(i));
  const ms = (seconds * 1000) / 10;
  const runs: Record<string, () => unknown> = { decode: () => bytes.forEach((one) => decodeEvent(one)) };
  for (const [name, rule] of Object.entries(RULES)) {
    const route = compileRoute([{ id: "s", route: rule }], "s");
    runs[name] = () => bytes.forEach((one) => route?.decide(decodeEvent(one)));
  }
  runs["lane"] = () => bytes.forEach((one) => decodeOnly(one));
  runs["laneRouted"] = () => lane(bytes);
  const rates = await inTurn(runs, { rounds, ms });
  return { eventBytes: bytes[0]?.length, perSecond: rates, conditionAlone: await conditionAlone(rounds, ms) };
}

function encoded(i: number): Buffer {
  const items = Array.from({ length: 5 }, (_, n) => ({ sku: `sku-${n}`, price: n * 100 }));
  const user = { id: `u_${i}`, plan: i % 2 === 0 ? "pro" : "free" };
  const payload = { amount: i, currency: "EUR", user, items, agent: "curl/8.14.1 (x86_64-pc-linux-gnu)" };
  const parts = { eventId: `e-${i}`, tenantId: "shop", eventType: "order_paid", source: "http" as const };
  return encodeParts({ ...parts, payload: Buffer.from(JSON.stringify(payload)) });
}

const timers = new Timers(systemClock);
const calls = new Calls(timers);
const pace = new Pace(systemClock);

/** A lane without transforms, from bytes to what its sink would get. */
async function lane(bytes: readonly Buffer[]): Promise<void> {
  const route = compileRoute([{ id: "s", route: RULES["eventType"] }], "s");
  const stages = { shared: [], route, branch: [] };
  for (let at = 0; at < bytes.length; at += BATCH) {
    const inputs = bytes.slice(at, at + BATCH).map((one) => ({ bytes: one, attempt: 1 }));
    await runChain({ stages, inputs, calls, timeoutMs: 10_000, pace });
  }
}

/** Our evaluation beside the CEL library's, of a parsed event. */
async function conditionAlone(rounds: number, ms: number) {
  const source = RULES["payload"]?.when as string;
  const schema = { event_type: "string", payload: "map<string, dyn>" };
  const library = new Environment().registerVariable("event", { schema }).parse(source);
  library.check();
  const condition = compileCondition(source);
  const events = Array.from({ length: EVENTS }, (_, i): CanonicalEvent => ({ ...decodeEvent(encoded(i)) }));
  const rates = await inTurn(
    {
      ours: () => events.forEach((event) => condition.matches(event)),
      library: () => events.forEach((event) => library({ event }) as unknown),
    },
    { rounds, ms },
  );
  return { perSecond: rates, ratio: (rates["ours"] as number) / (rates["library"] as number) };
}

/** Events per second of each, medians over rounds in which all of them run. */
async function inTurn(
  runs: Readonly<Record<string, () => unknown>>,
  { rounds, ms }: { readonly rounds: number; readonly ms: number },
): Promise<Record<string, number>> {
  const samples: Record<string, number[]> = {};
  // The first round is for the compiler.
  for (let round = 0; round <= rounds; round++) {
    for (const [name, run] of Object.entries(runs)) {
      const rate = await rateOf(run, ms);
      if (round > 0) (samples[name] ??= []).push(rate);
    }
  }
  return Object.fromEntries(Object.entries(samples).map(([name, rates]) => [name, Math.round(median(rates))]));
}

async function rateOf(run: () => unknown, ms: number): Promise<number> {
  const startedAt = performance.now();
  let events = 0;
  while (performance.now() - startedAt < ms) {
    await run();
    events += EVENTS;
  }
  return events / ((performance.now() - startedAt) / 1000);
}
