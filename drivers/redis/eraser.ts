import { cutPayload, decodeEvent } from "../../core/canonical/codec.ts";
import type { Amendment, Erased, LaneId, LogEntry, Stream } from "../../core/ingestion/log.ts";
import { type Argument, listOf } from "./client.ts";
import type { DurableWriter } from "./durable.ts";
import { type Keys, laneKeyList, shardOf } from "./keys.ts";
import { keptOf } from "./kept.ts";
import { ERASE } from "./lua-erase.ts";
import type { StreamReader } from "./reader.ts";

export interface EraserOptions {
  readonly writer: DurableWriter;
  readonly keys: Keys;
  readonly logId: () => string;
  readonly reader: StreamReader;
  readonly lanesOf: (stream: Stream) => Promise<readonly LaneId[]>;
}

/** Of one step: each blocks the server while it runs. */
const STEP_EVENTS = 100;

/** Erases events and their dead letters, some at a time, each step whole. */
export async function eraseEvents(
  options: EraserOptions,
  { stream, sequences, at }: { readonly stream: Stream; readonly sequences: readonly number[]; readonly at: number },
): Promise<Erased> {
  const lanes = await options.lanesOf(stream);
  const all = [...new Set(sequences)];
  const sum = { events: 0, deadLetters: 0 };
  for (let from = 0; from < all.length; from += STEP_EVENTS) {
    const some = all.slice(from, from + STEP_EVENTS);
    const [events, letters] = await eraseSome(options, { stream, lanes, sequences: some, at });
    sum.events += events;
    sum.deadLetters += letters;
  }
  return sum;
}

interface Step {
  readonly stream: Stream;
  readonly lanes: readonly LaneId[];
  readonly sequences: readonly number[];
  readonly at: number;
}

async function eraseSome(
  { writer, keys, logId, reader }: EraserOptions,
  { stream, lanes, sequences, at }: Step,
): Promise<[number, number]> {
  const found = await Promise.all(sequences.map((sequence) => reader.entryAt(stream, sequence)));
  const entries = found.filter((entry) => entry !== undefined && entry.erasedAt === undefined) as LogEntry[];
  const outcome = { type: "erased" } as const;
  const letters = lanes.flatMap((_, lane) =>
    sequences.flatMap((sequence): Argument[] => {
      const record: Amendment = { sequence, outcome, at };
      return [lane, sequence, JSON.stringify(record)];
    }),
  );
  const { tenantId, partition } = stream;
  const names = [keys.id(shardOf(tenantId)), keys.entries(stream), keys.ids(tenantId), keys.idempotency(tenantId)];
  const laneNames = lanes.flatMap((lane) => laneKeyList(keys.lane(lane)));
  const reply = await writer.run(
    ERASE,
    [...names, keys.erased(stream), ...laneNames],
    [logId(), partition, entries.length, ...entries.flatMap((entry) => entryArgs(entry, at)), ...letters],
  );
  return listOf(reply).map(Number) as [number, number];
}

function entryArgs({ sequence, receivedAt, bytes }: LogEntry, at: number): Argument[] {
  const { event_id, idempotency_key = "" } = decodeEvent(bytes);
  const kept = keptOf({ sequence, receivedAt, bytes: cutPayload(bytes), erasedAt: Math.floor(at / 1_000) * 1_000 });
  return [`${sequence + 1}-${receivedAt}`, sequence, event_id, idempotency_key, kept];
}
