import { type KafkaRecord, recordBytes } from "./record.ts";

/** Records that go in one request; they stand at `from` and after in the call. */
export interface Chunk {
  readonly from: number;
  readonly records: readonly KafkaRecord[];
}

/** In order, each at most so many bytes, but at least one record. */
export function chunksOf(records: readonly KafkaRecord[], bytesMax: number): Chunk[] {
  const chunks: Chunk[] = [];
  let from = 0;
  let bytes = 0;
  records.forEach((record, i) => {
    const size = recordBytes(record);
    if (i > from && bytes + size > bytesMax) {
      chunks.push({ from, records: records.slice(from, i) });
      from = i;
      bytes = 0;
    }
    bytes += size;
  });
  if (from < records.length) chunks.push({ from, records: records.slice(from) });
  return chunks;
}

/** The second half first: chunks are taken from the end. */
export function halvesOf({ from, records }: Chunk): Chunk[] {
  const middle = records.length >> 1;
  return [
    { from: from + middle, records: records.slice(middle) },
    { from, records: records.slice(0, middle) },
  ];
}
