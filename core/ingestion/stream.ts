/** One tenant's ordered events in one partition. */
export interface Stream {
  readonly tenantId: string;
  readonly partition: number;
}

/** `tenant/partition`: the text form of a stream, and its key in maps. */
export type StreamKey = string;

export function streamKey(stream: Stream): StreamKey {
  return `${stream.tenantId}/${stream.partition}`;
}

/** A place in a stream. Sequences start at 0 and rise; `tenant/partition/sequence` in text. */
export interface Position {
  readonly stream: Stream;
  readonly sequence: number;
}

export function formatPosition(stream: Stream, sequence: number): string {
  return `${stream.tenantId}/${stream.partition}/${sequence}`;
}

const POSITION_PATTERN = /^([A-Za-z0-9_.:-]{1,128})\/(\d{1,9})\/(\d{1,15})$/;

export function parsePosition(text: string): Position | undefined {
  const match = POSITION_PATTERN.exec(text);
  if (match === null) return undefined;
  return { stream: { tenantId: match[1] as string, partition: Number(match[2]) }, sequence: Number(match[3]) };
}

/**
 * Streams are spread over a fixed number of slots; a worker owns slots, not streams.
 * Fixed for the life of a log: claims and keys of shared backends are made from it.
 */
export const SLOT_COUNT = 64;

/** FNV-1a of the stream key, modulo the number of slots. */
export function slotOf(stream: Stream): number {
  const key = streamKey(stream);
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % SLOT_COUNT;
}
