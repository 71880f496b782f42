import { decodeEvent, payloadView } from "../canonical/codec.ts";
import type { CanonicalEvent } from "../canonical/event.ts";
import { compileCondition } from "../router/condition.ts";
import type { Erased, ErasingLog, LogReader, Stream } from "./log.ts";

/** Which events of one tenant are to be erased; all that is said must fit. */
export interface ErasureSelection {
  /** By id; then nothing else is looked at. */
  readonly ids?: readonly string[] | undefined;
  /** Events whose payload has this text or number at this path: member names, outermost first. */
  readonly subject?: { readonly path: readonly string[]; readonly equals: string | number } | undefined;
  /** A condition, as of a route. */
  readonly filter?: string | undefined;
  /** Accepted at this time or later, and before this time; milliseconds since the epoch. */
  readonly receivedFrom?: number | undefined;
  readonly receivedTo?: number | undefined;
}

export interface ErasureSources {
  readonly reader: Pick<LogReader, "find" | "read" | "bounds" | "seek">;
}

/** Sequences of one stream. */
export interface Chosen {
  readonly stream: Stream;
  readonly sequences: readonly number[];
}

const STEP = { entries: 500, bytes: 1 << 20 };
const ERASE_AT_ONCE = 1_000;

/** The events that fit and are not erased yet. Reads all of the tenant's streams unless ids are named; throws `ConditionError`. */
export async function chooseEvents(
  { reader }: ErasureSources,
  { streams, selection }: { readonly streams: readonly Stream[]; readonly selection: ErasureSelection },
): Promise<Chosen[]> {
  const [{ tenantId } = { tenantId: "" }] = streams;
  if (selection.ids !== undefined) return chooseByIds(reader, tenantId, selection.ids);
  const fits = matcherOf(selection);
  const chosen: Chosen[] = [];
  for (const stream of streams) {
    const sequences = await chooseIn(reader, stream, { selection, fits });
    if (sequences.length > 0) chosen.push({ stream, sequences });
  }
  return chosen;
}

async function chooseByIds(reader: ErasureSources["reader"], tenantId: string, ids: readonly string[]) {
  const found = await Promise.all(ids.map((id) => reader.find(tenantId, id)));
  const places = found.filter((place) => place !== undefined);
  return [...Map.groupBy(places, ({ stream }) => stream.partition)].map(([partition, inStream]) => ({
    stream: { tenantId, partition },
    sequences: inStream.map(({ sequence }) => sequence),
  }));
}

async function chooseIn(
  reader: ErasureSources["reader"],
  stream: Stream,
  { selection, fits }: { readonly selection: ErasureSelection; readonly fits: (event: CanonicalEvent) => boolean },
): Promise<number[]> {
  const { receivedFrom, receivedTo } = selection;
  const { end } = await reader.bounds(stream);
  const to = receivedTo === undefined ? end : Math.min(end, await reader.seek(stream, receivedTo));
  const sequences: number[] = [];
  let at = receivedFrom === undefined ? 0 : await reader.seek(stream, receivedFrom);
  while (at < to) {
    const entries = await reader.read(stream, at, STEP);
    const last = entries.at(-1);
    if (last === undefined) break;
    for (const { sequence, bytes, erasedAt } of entries)
      if (sequence < to && erasedAt === undefined && fits(decodeEvent(bytes))) sequences.push(sequence);
    at = last.sequence + 1;
  }
  return sequences;
}

function matcherOf({ subject, filter }: ErasureSelection): (event: CanonicalEvent) => boolean {
  const condition = filter === undefined ? undefined : compileCondition(filter);
  return (event) => {
    if (subject !== undefined && valueAt(payloadView(event), subject.path) !== subject.equals) return false;
    return condition?.matches(event) ?? true;
  };
}

function valueAt(payload: unknown, path: readonly string[]): unknown {
  let value = payload;
  for (const name of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Readonly<Record<string, unknown>>)[name];
  }
  return value;
}

/** Erases what was chosen, some at a time: done over again it goes on where it was broken off. */
export async function eraseEvents(
  log: ErasingLog,
  { chosen, at }: { readonly chosen: readonly Chosen[]; readonly at: number },
): Promise<Erased> {
  let events = 0;
  let deadLetters = 0;
  for (const { stream, sequences } of chosen) {
    for (let from = 0; from < sequences.length; from += ERASE_AT_ONCE) {
      const erased = await log.erase(stream, sequences.slice(from, from + ERASE_AT_ONCE), at);
      events += erased.events;
      deadLetters += erased.deadLetters;
    }
  }
  return { events, deadLetters };
}
