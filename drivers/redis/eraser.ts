import { cutPayload } from "../../core/canonical/codec.ts";
import type { Amendment, Erased, LaneId, LogEntry, Stream } from "../../core/ingestion/log.ts";
import { type Argument, listOf } from "./client.ts";
import type { DurableWriter } from "./durable.ts";
import { type Keys, laneKeyList, shardOf } from "./keys.ts";
import { keptOf } from "./kept.ts";
import { ERASE } from "./lua-erase.ts";
import type { StoredBlock, StreamReader } from "./reader.ts";
import { claimNames } from "./trimmer.ts";

export interface EraserOptions {
  readonly writer: DurableWriter;
  readonly keys: Keys;
  readonly logId: () => string;
  readonly reader: StreamReader;
  readonly lanesOf: (stream: Stream) => Promise<readonly LaneId[]>;
}

/** Of one step: each blocks the server while it runs. */
const STEP_EVENTS = 100;
const STEP_BLOCKS = 16;

/** Erases events and their dead letters, some at a time, each step whole. */
export async function eraseEvents(
  options: EraserOptions,
  { stream, sequences, at }: { readonly stream: Stream; readonly sequences: readonly number[]; readonly at: number },
): Promise<Erased> {
  const lanes = await options.lanesOf(stream);
  let left = [...new Set(sequences)].sort((a, b) => a - b);
  const sum = { events: 0, deadLetters: 0 };
  while (left.length > 0) {
    const step = await findStep(options.reader, stream, left);
    const [events, letters, missed] = await eraseStep(options, { stream, lanes, step, at });
    sum.events += events;
    sum.deadLetters += letters;
    // Another has erased what was stored together with these: they are kept elsewhere since.
    if (missed === 0) left = left.slice(step.sequences.length);
  }
  return sum;
}

interface Step {
  readonly sequences: readonly number[];
  readonly blocks: readonly StoredBlock[];
  /** Not erased yet, and beside the stream. */
  readonly kept: readonly LogEntry[];
}

/** Where the first of the sequences are stored. */
async function findStep(reader: StreamReader, stream: Stream, sequences: readonly number[]): Promise<Step> {
  const blocks: StoredBlock[] = [];
  const kept: LogEntry[] = [];
  const end = Math.min(sequences.length, STEP_EVENTS);
  for (let i = 0; i < end; i++) {
    const sequence = sequences[i] as number;
    if (sequence <= (blocks.at(-1)?.entries.at(-1)?.sequence ?? -1)) continue;
    if (blocks.length === STEP_BLOCKS) return { sequences: sequences.slice(0, i), blocks, kept };
    const found = await reader.storedAt(stream, sequence);
    if (found.block !== undefined) blocks.push(found.block);
    else if (found.kept !== undefined && found.kept.erasedAt === undefined) kept.push(found.kept);
  }
  return { sequences: sequences.slice(0, end), blocks, kept };
}

async function eraseStep(
  { writer, keys, logId }: EraserOptions,
  order: { readonly stream: Stream; readonly lanes: readonly LaneId[]; readonly step: Step; readonly at: number },
): Promise<[events: number, letters: number, missed: number]> {
  const { stream, lanes, step, at } = order;
  const { sequences, blocks, kept } = step;
  const erased = new Set(sequences);
  const textsOf = (entry: LogEntry) => entryArgs(entry, erased.has(entry.sequence) ? at : undefined);
  const ofBlocks = blocks.flatMap(({ entryId, entries }) => [entryId, entries.length, ...entries.flatMap(textsOf)]);
  const letters = lanes.flatMap((_, lane) =>
    sequences.flatMap((sequence): Argument[] => {
      const record: Amendment = { sequence, outcome: { type: "erased" }, at };
      return [lane, sequence, JSON.stringify(record)];
    }),
  );
  const shard = shardOf(stream.tenantId);
  const names = [keys.id(shard), keys.entries(stream), keys.ids(shard), keys.idempotency(shard), keys.kept(stream)];
  const reply = await writer.run(
    ERASE,
    [...names, ...lanes.flatMap((lane) => laneKeyList(keys.lane(lane)))],
    [logId(), stream.partition, blocks.length, ...ofBlocks, kept.length, ...kept.flatMap(textsOf), ...letters],
  );
  return listOf(reply).map(Number) as [number, number, number];
}

/** `at`: undefined for one that stays as it is. */
function entryArgs(entry: LogEntry, at: number | undefined): Argument[] {
  const { sequence, receivedAt, bytes } = entry;
  if (at === undefined) return [sequence, keptOf(entry), "", ""];
  const erasedAt = Math.floor(at / 1_000) * 1_000;
  return [sequence, keptOf({ sequence, receivedAt, bytes: cutPayload(bytes), erasedAt }), ...claimNames(bytes)];
}
