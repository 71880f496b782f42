import { hash } from "node:crypto";
import type { DeadLetter, DeadLetterFilter, DeadLetterGroup, DeadLetterRange, LaneId, LaneStore } from "./log.ts";

/** How many letters one step of a discard takes. */
const DISCARD_STEP = 500;
/** As a filter's reason in the ledger. */
export const DISCARDED = "discarded";

/**
 * Tells failures apart by kind: of the stage, the code and the message without the values in it, so that
 * one fault that hits a million events makes one group. 16 hexadecimal digits.
 */
export function fingerprintOf(failure: Pick<DeadLetter, "stage" | "code" | "message">): string {
  const { stage, code, message } = failure;
  return hash("sha256", `${stage}\0${code}\0${normalised(message)}`, "hex").slice(0, 16);
}

/** Names that say what is at fault: a constraint's name is part of the kind, the value that it refused is not. */
const NAMED =
  /\b(relation|constraint|column|table|type|index|function|schema|role|database|field|property) "[^"]{1,64}"/gi;
const QUOTED = /(?:"[^"]*")+|(?:'[^']*')+|`[^`]*`|„[^“”]*[“”]|“[^”]*”/g;
/** UUIDs and long hexadecimal texts, addresses, then whatever has a digit and is no name. */
const HEXADECIMAL = /\b(?:0x)?(?=[0-9a-f-]*\d)[0-9a-f]{8}(?:-?[0-9a-f]{4,})*\b/gi;
const NUMBER = /(?<![\w"])[+-]?\d[\d.,:_-]*/g;
const MAIL = /\S+@\S+/g;

function normalised(message: string): string {
  const names: string[] = [];
  const kept = message.replace(NAMED, (text) => `\u0001${names.push(text) - 1}\u0001`);
  const bare = kept.replace(QUOTED, "…").replace(MAIL, "…").replace(HEXADECIMAL, "…");
  return bare
    .split("\u0001")
    .map((text, i) => (i % 2 === 1 ? (names[Number(text)] ?? "") : text.replace(NUMBER, "#")))
    .join("");
}

/** Whether a letter is one that is asked for. */
export function isAskedFor(letter: DeadLetter, range: DeadLetterRange): boolean {
  const { receivedFrom = Number.NEGATIVE_INFINITY, receivedTo = Number.POSITIVE_INFINITY } = range;
  const { lane, stage, fingerprint, eventType, receivedAt } = letter;
  const facts = { tenantId: lane.stream.tenantId, sink: lane.sink, stage, fingerprint, eventType };
  return receivedFrom <= receivedAt && receivedAt < receivedTo && fits(facts, range);
}

/** Whether facts known of letters do not contradict the filter; the lane is not looked at. */
export function fits(facts: DeadLetterFilter, filter: DeadLetterFilter): boolean {
  return (["tenantId", "sink", "stage", "fingerprint", "eventType"] as const).every(
    (name) => filter[name] === undefined || facts[name] === undefined || filter[name] === facts[name],
  );
}

/** Counts of one lane's letters that share fingerprint and event type: what a store keeps beside the letters. */
export interface GroupCount {
  readonly fingerprint: string;
  readonly eventType: string;
  readonly stage: string;
  readonly code: string;
  readonly message: string;
  readonly events: number;
  readonly firstAt: number;
  readonly lastAt: number;
}

/** The count with a letter more. One that takes another's place joins before that parts: since when a kind fails stays. */
export function joined(count: GroupCount | undefined, letter: DeadLetter): GroupCount {
  const { fingerprint, eventType, stage, code, message, diedAt } = letter;
  return {
    ...{ fingerprint, eventType, stage, code, message },
    events: (count?.events ?? 0) + 1,
    firstAt: Math.min(count?.firstAt ?? diedAt, diedAt),
    lastAt: Math.max(count?.lastAt ?? diedAt, diedAt),
  };
}

/** The count with a letter less; undefined when that was the last. */
export function parted(count: GroupCount): GroupCount | undefined {
  return count.events > 1 ? { ...count, events: count.events - 1 } : undefined;
}

/** Puts the counts of lanes together by tenant, sink and fingerprint. */
export function groupsOf(counts: Iterable<{ readonly lane: LaneId; readonly count: GroupCount }>): DeadLetterGroup[] {
  const groups = new Map<string, DeadLetterGroup>();
  for (const { lane, count } of counts) {
    const { tenantId } = lane.stream;
    const key = `${tenantId}/${lane.sink}/${count.fingerprint}`;
    groups.set(key, merged(groups.get(key), { tenantId, sink: lane.sink, count }));
  }
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group);
}

function merged(
  group: DeadLetterGroup | undefined,
  { tenantId, sink, count }: { readonly tenantId: string; readonly sink: string; readonly count: GroupCount },
): DeadLetterGroup {
  const { fingerprint, stage, code, eventType, events, firstAt, lastAt } = count;
  const eventTypes = { ...group?.eventTypes, [eventType]: (group?.eventTypes[eventType] ?? 0) + events };
  const isNewest = group === undefined || lastAt >= group.lastAt;
  return {
    ...{ tenantId, sink, fingerprint, stage, code, eventTypes },
    message: isNewest ? count.message : group.message,
    events: (group?.events ?? 0) + events,
    firstAt: Math.min(group?.firstAt ?? firstAt, firstAt),
    lastAt: Math.max(group?.lastAt ?? lastAt, lastAt),
  };
}

/** Discards all that the query asks for, in steps. Returns how many letters that were. */
export async function discardAll(
  store: Pick<LaneStore, "deadLetters" | "discard">,
  options: { readonly query: DeadLetterRange; readonly at: number },
): Promise<number> {
  const { query, at } = options;
  for (let discarded = 0; ; ) {
    const letters = await store.deadLetters({ ...query, limit: DISCARD_STEP });
    if (letters.length === 0) return discarded;
    discarded += await store.discard(letters, { at, reason: DISCARDED });
  }
}
