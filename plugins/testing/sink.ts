import { strict as assert } from "node:assert";
import {
  BatchRejected,
  type CanonicalEvent,
  type PluginContext,
  type SinkDefinition,
  type SinkOutcome,
  type SinkPlugin,
} from "../contract.ts";
import { type Check, definitionChecks, optionsOf } from "./checks.ts";
import { contextOf, eventOf, eventsOf } from "./events.ts";

/** Ends what a target was made to do. */
export type Undo = () => Promise<void>;

/** An event as a target gives it back. */
export interface StoredEvent {
  readonly eventId: string;
  /** JSON text. Absent: payloads are not compared. */
  readonly payload?: string;
}

/**
 * A target that can be looked into, and harmed. Made anew for each check. What it can't do, a check that needs it
 * passes over, and says so.
 */
export interface SinkTarget {
  /** Options, as a user writes them, that lead to it. */
  readonly config: unknown;
  /** A second delivery of an event leaves one. Otherwise one that was delivered twice may stand twice. */
  readonly keyed?: boolean;
  /** `stored` gives the events in the order of their arrival. */
  readonly ordered?: boolean;
  /** A payload, as JSON text, that the target refuses, and no other event with it. Absent: it takes all. */
  readonly badPayload?: string;
  /** What it holds. */
  stored(): Promise<readonly StoredEvent[]>;
  /** It can't be reached until undone. */
  outage?(): Promise<Undo>;
  /** It answers nothing until undone. */
  freeze?(): Promise<Undo>;
  /** Connections break while the next delivery is under way, so that some events get no answer, until undone. */
  breakNextDelivery?(): Promise<Undo>;
  /** It works, and refuses every event for good, until undone. */
  permanentFault?(): Promise<Undo>;
  close(): Promise<void>;
}

export interface SinkSuite {
  readonly definition: SinkDefinition;
  /** Absent: only what needs no target is checked. */
  readonly target?: (() => Promise<SinkTarget>) | undefined;
}

const BATCH = 1_000;
const BAD = 617;
const CHECK_TIMEOUT_MS = 30_000;

interface Parts {
  readonly sink: SinkPlugin;
  readonly target: SinkTarget;
}

/** Answers with what kept it from checking anything. */
type Body = (parts: Parts) => Promise<string | undefined>;

/** What the pipeline relies on in every sink, to be run one by one. */
const PROMISES: readonly (readonly [name: string, body: Body])[] = [
  ["delivers one event with its payload", deliversOne],
  ["answers one outcome for each event of a batch, and holds them all when it says so", answersEach],
  ["takes an empty batch", takesEmpty],
  ["takes a second delivery of the same events as done", takesAgain],
  ["takes an event that stands twice in one batch", takesTwice],
  ["calls an outage an outage, for each event, and delivers after it", tellsOutage],
  ["returns when the caller's deadline passes, and delivers after it", keepsDeadline],
  ["never claims an event whose connection broke, and lands it on a next try", survivesBreak],
  ["calls a fault permanent that no retry can mend, with its code, without bisecting", tellsPermanent],
  ["lets the caller find the one bad event of a batch: the others land", isolatesBad],
  ["keeps the order of a batch when it claims to, also when it is cut off in the middle", keepsOrder],
  ["close waits for what is being delivered, and may come twice", drains],
  ["passes its connection test on a target that works, and fails it in an outage", testsConnection],
];

export function sinkChecks({ definition, target }: SinkSuite): Check[] {
  if (target === undefined) return definitionChecks(definition);
  const promises = PROMISES.map(([name, body]) => ({ name, run: () => withTarget({ definition, target }, body) }));
  return [...definitionChecks(definition), ...promises];
}

async function withTarget(
  { definition, target: makeTarget }: { definition: SinkDefinition; target: () => Promise<SinkTarget> },
  body: Body,
): Promise<string | undefined> {
  const target = await makeTarget();
  const sink = definition.create();
  try {
    const options = optionsOf(definition, target.config);
    await sink.init?.(options);
    return await body({ sink, target });
  } finally {
    await sink.close?.();
    await target.close();
  }
}

async function deliversOne({ sink, target }: Parts): Promise<undefined> {
  assert.deepEqual(await sink.send(eventOf({ n: 1 }), contextOf()), OK);
  const [stored, ...more] = await target.stored();
  assert.deepEqual([stored?.eventId, more], ["event-1", []]);
  if (stored?.payload !== undefined) assert.deepEqual(JSON.parse(stored.payload), { n: 1 });
}

async function answersEach({ sink, target }: Parts): Promise<undefined> {
  const events = eventsOf(BATCH);
  assert.deepEqual(await sendAll(sink, events), allOk(BATCH));
  assert.deepEqual(await storedIds(target), idsOf(events, target));
}

async function takesEmpty({ sink }: Parts): Promise<undefined> {
  assert.deepEqual(await sendAll(sink, []), []);
}

async function takesAgain({ sink, target }: Parts): Promise<undefined> {
  await sendAll(sink, eventsOf(10));
  assert.deepEqual(await sendAll(sink, eventsOf(11)), allOk(11));
  await holdsJust(target, 11);
}

async function takesTwice({ sink, target }: Parts): Promise<undefined> {
  const [one, two] = eventsOf(2) as [CanonicalEvent, CanonicalEvent];
  assert.deepEqual(await sendAll(sink, [one, two, one]), allOk(3));
  await holdsJust(target, 2);
}

async function tellsOutage({ sink, target }: Parts): Promise<string | undefined> {
  const undo = await target.outage?.();
  if (undo === undefined) return lacks("outage");
  const events = eventsOf(3);
  const outcomes = await sendAll(sink, events);
  await undo();
  assert.ok(
    outcomes.length === 3 && outcomes.every(isOutage),
    '{ type: "retry", unavailable: true } for each event in an outage: nothing is burned then',
  );
  assert.deepEqual(await retried(sink, events), allOk(3));
  assert.deepEqual(new Set(await storedIds(target)), new Set(idsOf(events)));
}

async function keepsDeadline({ sink, target }: Parts): Promise<undefined> {
  const undo = await target.freeze?.();
  const events = eventsOf(3);
  const deadline = new AbortController();
  const delivery = sendAll(sink, events, contextOf(deadline.signal));
  deadline.abort();
  const outcomes = await delivery;
  await undo?.();
  // A target that can't be frozen may have been quicker than the deadline.
  const quick = undo === undefined && outcomes.every(({ type }) => type === "ok");
  assert.ok(quick || outcomes.every(({ type }) => type === "retry"), "retry for what the deadline cut off");
  assert.deepEqual(await retried(sink, events), allOk(3));
  assert.deepEqual(new Set(await storedIds(target)), new Set(idsOf(events)));
}

async function survivesBreak({ sink, target }: Parts): Promise<string | undefined> {
  await sendAll(sink, [eventOf({ n: 0 }, { eventId: "event-0" })]);
  const undo = await target.breakNextDelivery?.();
  if (undo === undefined) return lacks("breakNextDelivery");
  const events = eventsOf(BATCH / 2);
  const outcomes = await sendAll(sink, events);
  await undo();
  const held = new Set(await storedIds(target));
  const claimed = events.filter((_, i) => outcomes[i]?.type === "ok");
  assert.deepEqual(idsOf(claimed.filter(({ event_id }) => !held.has(event_id))), [], "claimed, and not there");
  const others = outcomes.filter(({ type }) => type !== "ok");
  assert.ok(others.length > 0 && others.every(isOutage), "an event without an answer is one of an outage");
  assert.deepEqual(await retried(sink, events), allOk(events.length));
  await holdsJust(target, events.length + 1);
}

async function tellsPermanent({ sink, target }: Parts): Promise<string | undefined> {
  // The first delivery makes what the target lacks, such as a table.
  await sendAll(sink, [eventOf({ n: 0 }, { eventId: "event-0" })]);
  const undo = await target.permanentFault?.();
  if (undo === undefined) return lacks("permanentFault");
  const outcomes = await sendAll(sink, eventsOf(2));
  await undo();
  assert.equal(outcomes.length, 2);
  for (const outcome of outcomes) assertError(outcome);
  assert.deepEqual(await retried(sink, eventsOf(2)), allOk(2));
}

async function isolatesBad({ sink, target }: Parts): Promise<string | undefined> {
  const { badPayload } = target;
  if (badPayload === undefined) return lacks("badPayload");
  const events = eventsOf(BATCH);
  events[BAD] = eventOf(badPayload, { eventId: `event-${BAD + 1}` });
  const outcomes = await bisect(sink, events);
  assert.equal(outcomes.filter(({ type }) => type === "ok").length, BATCH - 1);
  assertError(outcomes[BAD] as SinkOutcome);
  assert.equal(new Set(await storedIds(target)).size, BATCH - 1);
}

async function keepsOrder({ sink, target }: Parts): Promise<string | undefined> {
  if (sink.keepsOrder !== true) return "the sink claims no order (`keepsOrder`)";
  assert.ok(sink.sendBatch !== undefined, "`keepsOrder` speaks of `sendBatch`, which the sink lacks");
  // The first delivery makes what the target lacks, such as a table.
  await sendAll(sink, [eventOf({ n: 0 }, { eventId: "event-0" })]);
  const undo = await target.breakNextDelivery?.();
  const broken = scattered("broken");
  await leavesNoGap({ sink, target }, broken, contextOf());
  await undo?.();
  const cut = scattered("cut");
  const deadline = new AbortController();
  const delivery = leavesNoGap({ sink, target }, cut, contextOf(deadline.signal));
  deadline.abort();
  await delivery;
  for (const events of [broken, cut]) {
    await retried(sink, events);
    const first = [...new Set(await arrivals(target))].filter((id) => events.some(({ event_id }) => event_id === id));
    if (target.ordered === true)
      assert.deepEqual(first, inTurn(events), "stored in another order than that of the batch");
  }
  return target.ordered === true ? undefined : lacks("ordered");
}

/** Whatever cuts a delivery off: what is stored of the batch is its beginning, and so is what is claimed. */
async function leavesNoGap(
  { sink, target }: Parts,
  events: readonly CanonicalEvent[],
  ctx: PluginContext,
): Promise<void> {
  const outcomes = (await sink.sendBatch?.(events, ctx)) ?? [];
  const held = new Set(await arrivals(target));
  const waits = outcomes.findIndex(({ type }) => type === "retry");
  if (waits < 0) return;
  const claimed = outcomes.findLastIndex(({ type }) => type === "ok");
  assert.ok(claimed < waits, `event ${claimed + 1} of the batch is \`ok\`, and one before it, ${waits + 1}, \`retry\``);
  const gap = events.findIndex(({ event_id }, i) => outcomes[i]?.type === "retry" && !held.has(event_id));
  const behind = events.findLastIndex(({ event_id }) => held.has(event_id));
  assert.ok(
    gap < 0 || behind < gap,
    `event ${behind + 1} of the batch is stored, and one before it, ${gap + 1}, is not`,
  );
}

/** Events whose order is not that of their ids. */
function scattered(prefix: string): CanonicalEvent[] {
  return eventsOf(BATCH / 2).map((event, i) => ({ ...event, event_id: `${prefix}-${(i * 211) % (BATCH / 2)}` }));
}

async function drains({ sink, target }: Parts): Promise<undefined> {
  const events = eventsOf(BATCH / 2);
  const delivery = sendAll(sink, events);
  await sink.close?.();
  // Looked at before the delivery is awaited: close itself must have waited.
  const held = await storedIds(target);
  await sink.close?.();
  assert.deepEqual(await delivery, allOk(events.length));
  assert.deepEqual(held, idsOf(events, target));
}

async function testsConnection({ sink, target }: Parts): Promise<string | undefined> {
  if (sink.check === undefined) return "the sink has no check()";
  await checkOf(sink);
  const undo = await target.outage?.();
  if (undo === undefined) return lacks("outage");
  await assert.rejects(() => checkOf(sink), "the connection test passes in an outage");
  await undo();
}

async function checkOf(sink: SinkPlugin): Promise<void> {
  await sink.check?.(AbortSignal.timeout(CHECK_TIMEOUT_MS));
}

function lacks(what: keyof SinkTarget): string {
  return `the target has no ${what}`;
}

const OK: SinkOutcome = { type: "ok" };

function allOk(count: number): SinkOutcome[] {
  return new Array<SinkOutcome>(count).fill(OK);
}

function isOutage(outcome: SinkOutcome): boolean {
  return outcome.type === "retry" && outcome.unavailable === true;
}

function assertError(outcome: SinkOutcome): void {
  assert.equal(outcome.type, "error");
  assert.ok(outcome.type === "error" && outcome.code !== undefined && outcome.code !== "", "an error has a `code`");
}

async function holdsJust(target: SinkTarget, count: number): Promise<void> {
  const ids = await storedIds(target);
  assert.equal(new Set(ids).size, count);
  if (target.keyed === true) assert.equal(ids.length, count, "a keyed target holds each event once");
}

async function storedIds(target: SinkTarget): Promise<string[]> {
  const ids = await arrivals(target);
  return target.ordered === true ? ids : ids.sort();
}

async function arrivals(target: SinkTarget): Promise<string[]> {
  return (await target.stored()).map(({ eventId }) => eventId);
}

/** As `storedIds` gives them when the target holds just these. */
function idsOf(events: readonly CanonicalEvent[], { ordered }: { readonly ordered?: boolean } = {}): string[] {
  const ids = inTurn(events);
  return ordered === true ? ids : ids.sort();
}

function inTurn(events: readonly CanonicalEvent[]): string[] {
  return events.map((event) => event.event_id);
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
  const again = left.map((i) => events[i] as CanonicalEvent);
  const rest = await sendAll(sink, again, ctx);
  for (const [at, i] of left.entries()) outcomes[i] = rest[at] as SinkOutcome;
  return outcomes;
}

function isUntried(outcome: SinkOutcome): boolean {
  return outcome.type === "retry" && outcome.untried === true;
}

/** A connection may be half dead after a fault: a few tries are the pipeline's business. */
async function retried(sink: SinkPlugin, events: readonly CanonicalEvent[]): Promise<readonly SinkOutcome[]> {
  const TRIES = 10;
  for (let tries = 1; ; tries++) {
    const outcomes = await sendAll(sink, events);
    if (tries === TRIES || outcomes.every(({ type }) => type !== "retry")) return outcomes;
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
