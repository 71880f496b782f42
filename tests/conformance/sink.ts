import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { decodeEvent, encodeParts, stampReceivedAt } from "../../core/canonical/codec.ts";
import {
  BatchRejected,
  type CanonicalEvent,
  type PluginContext,
  type SinkOutcome,
  type SinkPlugin,
} from "../../plugins/contract.ts";

/** Ends what it began. */
type Undo = () => Promise<void>;

/** What kind of target it is; decides which promises apply. */
export interface SinkTraits {
  /** A second delivery of an event leaves one. Otherwise the reader tells them apart by `event_id`. */
  readonly keyed: boolean;
  /** The target keeps the order of arrival. */
  readonly ordered: boolean;
  /** It is reached over a connection, which can freeze and break. */
  readonly remote: boolean;
  /** A payload (JSON text) that the target refuses, and no other event with it. Absent: it takes all. */
  readonly badPayload?: string;
}

/** One sink on a target that can be looked into and harmed. Made anew for each test. */
export interface SinkFixture {
  /** Made and initialised. */
  readonly sink: SinkPlugin;
  /** What the target holds, in the order of arrival where it keeps one. */
  stored(): Promise<readonly StoredEvent[]>;
  /** The target can't be reached until undone. */
  outage(): Promise<Undo>;
  /** With `remote`: the target answers nothing until undone. */
  freeze?(): Promise<Undo>;
  /** With `remote`: connections break while the next delivery is under way, so that some events get no answer. */
  breakNextDelivery?(): Promise<Undo>;
  /** With `badPayload`: the target works, and refuses every event for good, until undone. */
  permanentFault?(): Promise<Undo>;
  close(): Promise<void>;
}

export interface StoredEvent {
  readonly eventId: string;
  /** The payload's JSON text as the target gives it back. */
  readonly payload: string;
}

/** What the pipeline relies on in every sink. Give it a fixture and it registers the tests. */
export function sinkConformance(name: string, traits: SinkTraits, makeFixture: () => Promise<SinkFixture>): void {
  describe(`${name} as a sink`, () => {
    let fixture: SinkFixture;
    beforeEach(async () => {
      fixture = await makeFixture();
    });
    afterEach(async () => {
      await fixture.sink.close?.();
      await fixture.close();
    });

    test("delivers one event with its payload", async () => {
      expect(await fixture.sink.send(eventOf(1), contextOf())).toEqual({ type: "ok" });
      expect((await fixture.stored()).map(plain)).toEqual([{ eventId: "event-1", payload: { n: 1 } }]);
    });

    test("answers one outcome for each event of a batch, and holds them all when it says so", async () => {
      const events = eventsOf(1_000);
      const outcomes = await sendAll(fixture.sink, events);
      expect(outcomes).toEqual(events.map(() => ({ type: "ok" })));
      expect(await storedIds(fixture, traits.ordered)).toEqual(idsOf(events, traits.ordered));
    });

    test("takes an empty batch", async () => {
      expect(await sendAll(fixture.sink, [])).toEqual([]);
    });

    test("takes a second delivery of the same events as done", async () => {
      const events = eventsOf(10);
      await sendAll(fixture.sink, events);
      expect(await sendAll(fixture.sink, [...events, eventOf(11)])).toEqual(new Array(11).fill({ type: "ok" }));
      const ids = await storedIds(fixture, traits.ordered);
      expect(new Set(ids).size).toBe(11);
      if (traits.keyed) expect(ids.length).toBe(11);
    });

    test("takes an event that stands twice in one batch", async () => {
      expect(await sendAll(fixture.sink, [eventOf(1), eventOf(2), eventOf(1)])).toEqual(
        new Array(3).fill({ type: "ok" }),
      );
      expect(new Set(await storedIds(fixture, traits.ordered))).toEqual(new Set(["event-1", "event-2"]));
    });

    test("calls an outage an outage, for each event, and delivers after it", async () => {
      const events = eventsOf(3);
      const undo = await fixture.outage();
      const outcomes = await sendAll(fixture.sink, events);
      await undo();
      expect(outcomes).toEqual(events.map(() => expect.objectContaining({ type: "retry", unavailable: true })));
      expect(await retried(fixture.sink, events)).toEqual(events.map(() => ({ type: "ok" })));
      expect(await storedIds(fixture, traits.ordered)).toEqual(idsOf(events, traits.ordered));
    });

    test("returns when the caller's deadline passes, and delivers after it", async () => {
      const events = eventsOf(3);
      const undo = (await fixture.freeze?.()) ?? (async () => {});
      const deadline = new AbortController();
      const delivery = sendAll(fixture.sink, events, contextOf(deadline.signal));
      deadline.abort();
      const outcomes = await delivery;
      await undo();
      expect(outcomes).toEqual(events.map(() => expect.objectContaining({ type: "retry" })));
      expect(await retried(fixture.sink, events)).toEqual(events.map(() => ({ type: "ok" })));
      expect(new Set(await storedIds(fixture, traits.ordered))).toEqual(new Set(idsOf(events, false)));
    });

    if (traits.remote)
      test("never claims an event whose connection broke, and lands it on a next try", async () => {
        await sendAll(fixture.sink, [eventOf(0)]);
        const heal = await fixture.breakNextDelivery?.();
        const events = eventsOf(500);
        const outcomes = await sendAll(fixture.sink, events);
        await heal?.();
        const stored = new Set(await storedIds(fixture, false));
        const claimed = events.filter((_, i) => outcomes[i]?.type === "ok");
        expect(claimed.filter(({ event_id }) => !stored.has(event_id))).toEqual([]);
        const others = outcomes.filter(({ type }) => type !== "ok");
        expect(others.length).toBeGreaterThan(0);
        expect(others).toEqual(others.map(() => expect.objectContaining({ type: "retry", unavailable: true })));
        expect(await retried(fixture.sink, events)).toEqual(events.map(() => ({ type: "ok" })));
        const ids = await storedIds(fixture, traits.ordered);
        expect(new Set(ids).size).toBe(501);
        if (traits.keyed) expect(ids.length).toBe(501);
      });

    if (traits.badPayload !== undefined)
      test("calls a fault permanent that no retry can mend, with its code, without bisecting", async () => {
        await sendAll(fixture.sink, [eventOf(0)]);
        const undo = await fixture.permanentFault?.();
        const outcomes = await sendAll(fixture.sink, eventsOf(2));
        await undo?.();
        const refused = expect.objectContaining({ type: "error", code: expect.stringMatching(/./) });
        expect(outcomes).toEqual([refused, refused]);
        expect(await retried(fixture.sink, eventsOf(2))).toEqual([{ type: "ok" }, { type: "ok" }]);
      });

    if (traits.badPayload !== undefined)
      test("lets the caller find the one bad event among 1,000: the others land", async () => {
        const events = eventsOf(1_000).map((event, i) => (i === 617 ? eventOf(i + 1, traits.badPayload) : event));
        const outcomes = await bisect(fixture.sink, events);
        expect(outcomes.filter((outcome) => outcome.type === "ok").length).toBe(999);
        expect(outcomes[617]).toMatchObject({ type: "error", code: expect.stringMatching(/./) });
        expect(new Set(await storedIds(fixture, traits.ordered)).size).toBe(999);
      });

    test("close waits for what is being delivered, and may come twice", async () => {
      const events = eventsOf(300);
      const delivery = sendAll(fixture.sink, events);
      await fixture.sink.close?.();
      // Looked at before the delivery is awaited: close itself must have waited.
      const stored = await storedIds(fixture, traits.ordered);
      await fixture.sink.close?.();
      expect(await delivery).toEqual(events.map(() => ({ type: "ok" })));
      expect(stored).toEqual(idsOf(events, traits.ordered));
    });

    test("passes its connection test on a healthy target, and fails it in an outage", async () => {
      await fixture.sink.check?.(new AbortController().signal);
      const undo = await fixture.outage();
      await expect(fixture.sink.check?.(new AbortController().signal)).rejects.toThrow();
      await undo();
    });
  });
}

export function eventsOf(count: number): CanonicalEvent[] {
  return Array.from({ length: count }, (_, i) => eventOf(i + 1));
}

/** As the pipeline hands it over: decoded from canonical bytes. */
export function eventOf(
  n: number,
  payload = `{"n":${n}}`,
  changes: { eventId?: string; occurredAt?: string } = {},
): CanonicalEvent {
  const bytes = encodeParts({
    eventId: `event-${n}`,
    tenantId: "tenant_shop_1",
    eventType: "order_paid",
    source: "http",
    traceId: n % 2 === 0 ? "0af7651916cd43dd8448eb211c80319c" : undefined,
    payload: Buffer.from(payload),
    ...changes,
  });
  stampReceivedAt(bytes, Date.UTC(2026, 10, 24, 12) + n);
  return decodeEvent(bytes);
}

export function contextOf(signal: AbortSignal = new AbortController().signal): PluginContext {
  const logger = { debug() {}, info() {}, warn() {}, error() {} };
  return { tenantId: "tenant_shop_1", logger, metrics: { count() {}, observe() {} }, attempt: 1, signal };
}

/** Events that the sink did not get to go again, as the pipeline does it. */
async function sendAll(
  sink: SinkPlugin,
  events: readonly CanonicalEvent[],
  ctx: PluginContext = contextOf(),
): Promise<readonly SinkOutcome[]> {
  if (sink.sendBatch === undefined) return await Promise.all(events.map((event) => sink.send(event, ctx)));
  const outcomes = [...(await sink.sendBatch(events, ctx))];
  const left = outcomes.flatMap((outcome, i) => (isUntried(outcome) ? [i] : []));
  if (left.length === 0 || left.length === events.length) return outcomes;
  const rest = await sendAll(
    sink,
    left.map((i) => events[i] as CanonicalEvent),
    ctx,
  );
  left.forEach((i, at) => (outcomes[i] = rest[at] as SinkOutcome));
  return outcomes;
}

function isUntried(outcome: SinkOutcome): boolean {
  return outcome.type === "retry" && outcome.untried === true;
}

/** After a fault is over a connection may still be half dead: a few tries are the pipeline's business. */
async function retried(sink: SinkPlugin, events: readonly CanonicalEvent[]): Promise<readonly SinkOutcome[]> {
  const TRIES = 10;
  for (let tries = 1; ; tries++) {
    const outcomes = await sendAll(sink, events);
    if (tries === TRIES || outcomes.every((outcome) => outcome.type !== "retry")) return outcomes;
  }
}

/** What the pipeline does with a refused batch, in its simplest form. */
export async function bisect(sink: SinkPlugin, events: readonly CanonicalEvent[]): Promise<readonly SinkOutcome[]> {
  try {
    return await sendAll(sink, events);
  } catch (error) {
    if (!(error instanceof BatchRejected) || events.length === 1) throw error;
    const middle = events.length >> 1;
    return [...(await bisect(sink, events.slice(0, middle))), ...(await bisect(sink, events.slice(middle)))];
  }
}

async function storedIds(fixture: SinkFixture, ordered: boolean): Promise<string[]> {
  const ids = (await fixture.stored()).map(({ eventId }) => eventId);
  return ordered ? ids : ids.sort();
}

function idsOf(events: readonly CanonicalEvent[], ordered: boolean): string[] {
  const ids = events.map((event) => event.event_id);
  return ordered ? ids : ids.sort();
}

function plain({ eventId, payload }: StoredEvent): { eventId: string; payload: unknown } {
  return { eventId, payload: JSON.parse(payload) };
}
