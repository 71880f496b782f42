import { createHash } from "node:crypto";

/** What a client learnt about one request for one event. */
export type Answer =
  /** 2xx: the event is in the log, at this position. */
  | { readonly type: "acked"; readonly position: string }
  /** 4xx: the event must not be in the log because of this request. */
  | { readonly type: "refused"; readonly status: number }
  /** 5xx, a cut connection, silence: either. */
  | { readonly type: "unknown" };

/** All requests of a run: written by the clients, judged at the end. */
export class History {
  readonly #events = new Map<string, Requests>();
  #sent = 0;
  #counts = { acked: 0, refused: 0, unknown: 0 };

  /** One request and its answer. The same event may be sent many times. */
  record(request: { readonly eventId: string; readonly content: string }, answer: Answer): void {
    const requests = this.#events.get(request.eventId) ?? {
      acked: new Set(),
      positions: new Set(),
      unknown: new Set(),
    };
    this.#events.set(request.eventId, requests);
    this.#sent++;
    this.#counts[answer.type]++;
    if (answer.type === "acked") {
      requests.acked.add(hashOf(request.content));
      requests.positions.add(answer.position);
    } else if (answer.type === "unknown") requests.unknown.add(hashOf(request.content));
  }

  get events(): ReadonlyMap<string, Requests> {
    return this.#events;
  }

  get counts(): { readonly sent: number; readonly acked: number; readonly refused: number; readonly unknown: number } {
    return { sent: this.#sent, ...this.#counts };
  }
}

/** Hashes of the contents that one event id was sent with, by answer; what is in neither set was refused. */
export interface Requests {
  readonly acked: Set<string>;
  readonly positions: Set<string>;
  readonly unknown: Set<string>;
}

/** What the target, the dead letters and the ledger hold once everything has come to rest. */
export interface Observed {
  readonly rows: Iterable<{ readonly eventId: string; readonly content: string }>;
  readonly deadLetters: Iterable<{ readonly eventId: string }>;
  readonly ledger: readonly LedgerLine[];
  /**
   * A primary that was replaced took with it what no replica had: an event that nobody acknowledged may have been
   * delivered before, and the ledger knows nothing of it.
   */
  readonly mayForget?: boolean | undefined;
}

/** One lane's counters; `end` is the end of its stream. */
export interface LedgerLine {
  readonly lane: string;
  readonly start: number;
  readonly cursor: number;
  readonly end: number;
  readonly delivered: number;
  readonly filtered: number;
  readonly dead: number;
  readonly erased: number;
}

export interface Violation {
  readonly kind: ViolationKind;
  readonly detail: string;
}

export type ViolationKind =
  | "lost"
  | "twice_in_table"
  | "twice_dead"
  | "delivered_and_dead"
  | "refused_but_stored"
  | "never_sent"
  | "altered"
  | "two_positions"
  | "shared_position"
  | "ledger_unbalanced"
  | "ledger_pending"
  | "ledger_disagrees";

/**
 * Every acked event is exactly once in the table or in the dead letters, unaltered; an event of
 * unknown outcome at most once; a refused one nowhere; and the ledger tells the same story.
 * Returns all violations, none when all is well.
 */
export function checkHistory(history: History, observed: Observed): Violation[] {
  const rows = groupById(observed.rows, ({ content }) => hashOf(content));
  const dead = groupById(observed.deadLetters, () => "");
  return [
    ...[...history.events].flatMap(([id, requests]) =>
      checkEvent(id, requests, rows.get(id) ?? [], dead.get(id) ?? []),
    ),
    ...[...new Set([...rows.keys(), ...dead.keys()])]
      .filter((id) => !history.events.has(id))
      .map((id) => violation("never_sent", id)),
    ...checkPositions(history),
    ...checkLedger(observed.ledger, {
      delivered: total(rows),
      dead: total(dead),
      forgotten: observed.mayForget === true ? unackedOf(history, rows.keys()) : 0,
    }),
  ];
}

function checkEvent(id: string, requests: Requests, rows: readonly string[], dead: readonly string[]): Violation[] {
  const found: Violation[] = [];
  const acked = requests.acked.size > 0;
  const stored = rows.length + dead.length;
  if (acked && stored === 0) found.push(violation("lost", id));
  if (rows.length > 1) found.push(violation("twice_in_table", `${id}, ${rows.length} times`));
  if (dead.length > 1) found.push(violation("twice_dead", `${id}, ${dead.length} times`));
  if (rows.length > 0 && dead.length > 0) found.push(violation("delivered_and_dead", id));
  if (!acked && requests.unknown.size === 0 && stored > 0) found.push(violation("refused_but_stored", id));
  const contents = acked ? requests.acked : requests.unknown;
  if (contents.size > 0 && rows.some((row) => !contents.has(row))) found.push(violation("altered", id));
  return found;
}

function checkPositions(history: History): Violation[] {
  const owners = new Map<string, string>();
  const found: Violation[] = [];
  for (const [id, { positions }] of history.events) {
    if (positions.size > 1) found.push(violation("two_positions", `${id} at ${[...positions].join(" and ")}`));
    for (const position of positions) {
      const owner = owners.get(position);
      if (owner !== undefined) found.push(violation("shared_position", `${owner} and ${id} at ${position}`));
      owners.set(position, id);
    }
  }
  return found;
}

/** How many of them were sent, and never acknowledged. */
function unackedOf(history: History, ids: Iterable<string>): number {
  let count = 0;
  for (const id of ids) if (history.events.get(id)?.acked.size === 0) count++;
  return count;
}

/** `forgotten`: so many rows may be missing from the ledger. */
interface Stored {
  readonly delivered: number;
  readonly dead: number;
  readonly forgotten: number;
}

function checkLedger(ledger: readonly LedgerLine[], stored: Stored): Violation[] {
  const found = ledger.flatMap(({ lane, start, cursor, end, delivered, filtered, dead, erased }) => {
    const settled = delivered + filtered + dead + erased;
    return [
      ...(cursor - start === settled
        ? []
        : [violation("ledger_unbalanced", `${lane}: ${cursor - start} ≠ ${settled}`)]),
      ...(cursor === end ? [] : [violation("ledger_pending", `${lane}: ${end - cursor} events`)]),
    ];
  });
  const sums = { delivered: 0, dead: 0 };
  for (const line of ledger) {
    sums.delivered += line.delivered;
    sums.dead += line.dead;
  }
  for (const outcome of ["delivered", "dead"] as const) {
    const missing = stored[outcome] - sums[outcome];
    if (missing === 0 || (outcome === "delivered" && missing > 0 && missing <= stored.forgotten)) continue;
    found.push(violation("ledger_disagrees", `${outcome}: ledger ${sums[outcome]}, found ${stored[outcome]}`));
  }
  return found;
}

function groupById<T extends { readonly eventId: string }>(
  items: Iterable<T>,
  of: (item: T) => string,
): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const item of items) {
    const group = groups.get(item.eventId);
    if (group === undefined) groups.set(item.eventId, [of(item)]);
    else group.push(of(item));
  }
  return groups;
}

function total(groups: ReadonlyMap<string, readonly string[]>): number {
  let sum = 0;
  for (const group of groups.values()) sum += group.length;
  return sum;
}

function violation(kind: ViolationKind, detail: string): Violation {
  return { kind, detail };
}

/** Contents are kept as hashes, so that a long run fits into memory. */
function hashOf(content: string): string {
  return createHash("sha256").update(content).digest("base64url").slice(0, 22);
}
