import { encodeParts } from "../../core/canonical/codec.ts";
import {
  type AppendEntry,
  type Appended,
  type Claim,
  type DeadLetter,
  type IngestionLog,
  type LaneCommit,
  type LaneId,
  type LogEntry,
  type Redriven,
  type SettlementException,
  type Stream,
  slotOf,
} from "../../core/ingestion/log.ts";
import type { LogUnderTest } from "./log-under-test.ts";

/** The log of one test, followed across reopenings. */
export interface Session {
  readonly log: IngestionLog;
  readonly windowMs: number;
  readonly takeOver: LogUnderTest["takeOver"];
  advance(ms: number): Promise<void>;
  reopen(): Promise<void>;
}

/** Runs a test body on a fresh log, and closes it whatever happens. */
export function onLog(open: () => Promise<LogUnderTest>, body: (session: Session) => Promise<void>) {
  return async (): Promise<void> => {
    let current = await open();
    try {
      await body({
        get log() {
          return current.log;
        },
        get takeOver() {
          return current.takeOver?.bind(current);
        },
        windowMs: current.windowMs,
        advance: async (ms) => current.advance(ms),
        reopen: async () => {
          current = await current.reopen();
        },
      });
    } finally {
      await current.close();
    }
  };
}

export interface EventSpec {
  readonly stream?: Stream;
  readonly id: string;
  readonly key?: string;
  readonly type?: string;
  readonly payload?: string;
}

export const STREAM: Stream = { tenantId: "tenant_a", partition: 0 };
export const OTHER: Stream = { tenantId: "tenant_b", partition: 0 };
export const LANE: LaneId = { stream: STREAM, sink: "raw" };
export const ALL = { entries: 100_000, bytes: 1 << 30 };

/** A fresh entry each time: the log owns the bytes that it is given. */
export function entryOf({
  stream = STREAM,
  id,
  key,
  type = "order_paid",
  payload = '{"n":1}',
}: EventSpec): AppendEntry {
  const bytes = encodeParts({
    eventId: id,
    tenantId: stream.tenantId,
    eventType: type,
    source: "http",
    idempotencyKey: key,
    payload: Buffer.from(payload),
  });
  return { stream, eventId: id, idempotencyKey: key, bytes };
}

export async function appendOne(log: IngestionLog, spec: EventSpec): Promise<Appended> {
  const [result] = await log.append([entryOf(spec)]);
  if (result === undefined) throw new Error("append gave no result");
  return result;
}

/** Appends events `prefix0 …` in one call; their sequences. */
export async function appendMany(
  log: IngestionLog,
  options: { stream?: Stream; count: number; prefix?: string },
): Promise<number[]> {
  const { stream = STREAM, count, prefix = "e" } = options;
  const results = await log.append(Array.from({ length: count }, (_, i) => entryOf({ stream, id: `${prefix}${i}` })));
  return results.map(sequenceOf);
}

export function sequenceOf(appended: Appended): number {
  if (appended.type !== "appended") throw new Error(`expected an event to be appended, got ${appended.type}`);
  return appended.sequence;
}

export function receivedAtOf(appended: Appended): number {
  if (appended.type === "conflict") throw new Error("a conflict has no time");
  return appended.receivedAt;
}

export async function readAll(log: IngestionLog, stream: Stream = STREAM): Promise<LogEntry[]> {
  return log.read(stream, 0, ALL);
}

export function idOf(entry: LogEntry): string {
  return (JSON.parse(entry.bytes.toString()) as { event_id: string }).event_id;
}

/** Waits until a worker of this name holds the stream's slot. */
export async function claimOn(log: IngestionLog, stream: Stream = STREAM, workerId = "worker_1"): Promise<Claim> {
  const claims = await log.claims(workerId);
  for await (const held of claims.held(new AbortController().signal)) {
    const claim = held.find(({ slot }) => slot === slotOf(stream));
    if (claim !== undefined) return claim;
  }
  throw new Error("the claims ended before the slot was held");
}

export interface CommitSpec {
  readonly lane?: LaneId;
  readonly claim: Claim;
  readonly from: number;
  readonly to: number;
  readonly exceptions?: readonly SettlementException[];
  readonly configRevision?: number;
  /** How the letters of this commit differ from `letterOf`. */
  readonly letter?: (sequence: number) => Partial<DeadLetter>;
  readonly redriven?: readonly Redriven[];
}

/** A commit with a dead letter for each sequence whose outcome is `dead`. */
export function commitOf({
  lane = LANE,
  claim,
  from,
  to,
  exceptions = [],
  configRevision = 3,
  letter = () => ({}),
  redriven,
}: CommitSpec): LaneCommit {
  const deadLetters = exceptions
    .filter((exception) => exception.outcome === "dead")
    .flatMap((exception) =>
      Array.from({ length: exception.to - exception.from }, (_, i) => {
        return { ...letterOf(lane, exception.from + i), ...letter(exception.from + i) };
      }),
    );
  return {
    lane,
    claim,
    settlement: { from, to, exceptions, configRevision, settledAt: 1_770_000_000_000 },
    deadLetters,
    redriven,
  };
}

export function letterOf(lane: LaneId, sequence: number): DeadLetter {
  return {
    lane,
    sequence,
    eventId: `e${sequence}`,
    eventType: "order_paid",
    receivedAt: 1_769_999_999_000,
    diedAt: 1_770_000_000_000,
    stage: `sink ${lane.sink}`,
    code: "22P02",
    message: "invalid input: „ünïcode“ \u0000 end",
    fingerprint: "00112233aabbccdd",
    response: "as the target said it",
    attempts: [
      { at: 1_769_999_999_500, reason: "first" },
      { at: 1_770_000_000_000, reason: "second" },
    ],
    configRevision: 3,
    plugins: { postgres_sink: "1.0.0" },
    bytes: entryOf({ stream: lane.stream, id: `e${sequence}` }).bytes,
  };
}

/** Commits one lane; throws what the commit was rejected with. */
export async function commitOne(log: IngestionLog, spec: CommitSpec): Promise<void> {
  const [result] = await log.commit([commitOf(spec)]);
  if (result?.status === "rejected") throw result.reason;
}

/** Streams that lie in another slot than `STREAM`. */
export function streamElsewhere(): Stream {
  for (let i = 0; ; i++) {
    const stream = { tenantId: `elsewhere_${i}`, partition: 0 };
    if (slotOf(stream) !== slotOf(STREAM)) return stream;
  }
}
