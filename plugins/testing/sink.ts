import { strict as assert } from "node:assert";
import type { CanonicalEvent, PluginContext, SinkDefinition, SinkOutcome, SinkPlugin } from "../contract.ts";
import { type Check, definitionChecks, optionsOf } from "./checks.ts";
import { contextOf, eventsOf } from "./events.ts";

/** A target that can be looked into, and broken. Made anew for each check. */
export interface SinkTarget {
  /** Options, as a user writes them, that lead to it. */
  readonly config: unknown;
  /** Ids of the events that it holds; one that was delivered twice may stand twice. */
  stored(): Promise<readonly string[]>;
  /** It can't be reached until what this returns is called. Absent: what an outage does is not checked. */
  outage?(): Promise<() => Promise<void>>;
  close(): Promise<void>;
}

export interface SinkSuite {
  readonly definition: SinkDefinition;
  /** Absent: only what needs no target is checked. */
  readonly target?: (() => Promise<SinkTarget>) | undefined;
}

const BATCH = 500;

/** The promises of a sink, to be run one by one. */
export function sinkChecks({ definition, target }: SinkSuite): Check[] {
  if (target === undefined) return definitionChecks(definition);
  const check = (name: string, run: (parts: Parts) => Promise<void>): Check => ({
    name,
    run: () => withTarget({ definition, target }, run),
  });
  return [
    ...definitionChecks(definition),
    check("answers one outcome for each event of a batch, and holds them all when it says so", async (parts) => {
      const events = eventsOf(BATCH);
      assert.deepEqual(await sendAll(parts.sink, events), allOk(BATCH));
      assert.deepEqual(new Set(await parts.target.stored()), new Set(events.map((event) => event.event_id)));
    }),
    check("takes an empty batch", async ({ sink }) => {
      assert.deepEqual(await sendAll(sink, []), []);
    }),
    check("takes a second delivery of the same events", async ({ sink, target: there }) => {
      await sendAll(sink, eventsOf(10));
      assert.deepEqual(await sendAll(sink, eventsOf(11)), allOk(11));
      assert.equal(new Set(await there.stored()).size, 11);
    }),
    check("takes an event that stands twice in one batch", async ({ sink }) => {
      const [one, two] = eventsOf(2) as [CanonicalEvent, CanonicalEvent];
      assert.deepEqual(await sendAll(sink, [one, two, one]), allOk(3));
    }),
    check("returns when the caller's deadline has passed", async ({ sink }) => {
      const outcomes = await sendAll(sink, eventsOf(3), contextOf(AbortSignal.abort()));
      for (const { type } of outcomes) assert.ok(type === "retry" || type === "ok", "retry, or delivered all the same");
    }),
    check("close waits for what is being delivered, and may come twice", async ({ sink, target: there }) => {
      const delivery = sendAll(sink, eventsOf(BATCH));
      await sink.close?.();
      const held = new Set(await there.stored());
      await sink.close?.();
      (await delivery).forEach(({ type }, i) => assert.ok(type !== "ok" || held.has(`event-${i + 1}`)));
    }),
    check("passes its connection test on a target that works", async ({ sink }) => {
      await sink.check?.(AbortSignal.timeout(CHECK_TIMEOUT_MS));
    }),
    ...outageChecks(check),
  ];
}

const CHECK_TIMEOUT_MS = 30_000;

function outageChecks(check: (name: string, run: (parts: Parts) => Promise<void>) => Check): Check[] {
  return [
    check("calls an outage an outage, for each event, and delivers after it", async ({ sink, target }) => {
      const undo = await target.outage?.();
      if (undo === undefined) return;
      const outcomes = await sendAll(sink, eventsOf(3));
      await undo();
      for (const outcome of outcomes)
        assert.ok(
          outcome.type === "retry" && outcome.unavailable === true,
          '{ type: "retry", unavailable: true } in an outage: nothing is burned then',
        );
      assert.deepEqual(await retried(sink, eventsOf(3)), allOk(3));
    }),
    check("fails its connection test in an outage", async ({ sink, target }) => {
      const undo = await target.outage?.();
      if (undo === undefined) return;
      if (sink.check !== undefined) await assert.rejects(() => checkOf(sink));
      await undo();
    }),
  ];
}

async function checkOf(sink: SinkPlugin): Promise<void> {
  await sink.check?.(AbortSignal.timeout(CHECK_TIMEOUT_MS));
}

interface Parts {
  readonly sink: SinkPlugin;
  readonly target: SinkTarget;
}

async function withTarget(
  suite: { readonly definition: SinkDefinition; readonly target: () => Promise<SinkTarget> },
  run: (parts: Parts) => Promise<void>,
): Promise<void> {
  const target = await suite.target();
  const sink = suite.definition.create();
  try {
    await sink.init?.(optionsOf(suite.definition, target.config));
    await run({ sink, target });
  } finally {
    await sink.close?.();
    await target.close();
  }
}

async function sendAll(
  sink: SinkPlugin,
  events: readonly CanonicalEvent[],
  ctx: PluginContext = contextOf(),
): Promise<readonly SinkOutcome[]> {
  if (sink.sendBatch !== undefined) return await sink.sendBatch(events, ctx);
  return await Promise.all(events.map((event) => sink.send(event, ctx)));
}

/** A connection may be half dead after a fault: a few tries are the pipeline's business. */
async function retried(sink: SinkPlugin, events: readonly CanonicalEvent[]): Promise<readonly SinkOutcome[]> {
  const TRIES = 10;
  for (let tries = 1; ; tries++) {
    const outcomes = await sendAll(sink, events);
    if (tries === TRIES || outcomes.every(({ type }) => type !== "retry")) return outcomes;
  }
}

function allOk(count: number): SinkOutcome[] {
  return Array.from({ length: count }, () => ({ type: "ok" }));
}
