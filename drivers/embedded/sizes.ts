import type { Stream } from "../../core/ingestion/log.ts";
import type { LogFiles } from "./files.ts";
import type { SegmentRange } from "./reader.ts";
import { findStream, readIndex } from "./sidecar-reader.ts";
import { INDEX_RECORD_BYTES } from "./sidecar.ts";
import { runContains, type Run, type SealedRun, type StreamState, type StreamTable } from "./streams.ts";

interface SizesSource {
  readonly files: LogFiles;
  readonly range: SegmentRange;
  readonly streams: StreamTable;
}

/** Bytes of a stream's bodies from sequence `first` on. */
export async function storedBytes(source: SizesSource, stream: Stream, first: number): Promise<number> {
  const state = source.streams.find(stream);
  return state === undefined ? 0 : state.bytes - (await bytesBefore(source, state, first));
}

/** The first sequence from which on the bodies have no more than so many bytes. */
export async function seekBytes(source: SizesSource, stream: Stream, bytes: number): Promise<number> {
  const state = source.streams.find(stream);
  return state === undefined ? 0 : sequenceAt(source, state, state.bytes - bytes);
}

/**
 * Bytes of all bodies that a stream had before this sequence. Sidecars hold the sums; of segments that an older
 * version sealed they do not, and their entries count nothing.
 */
function bytesBefore(source: SizesSource, state: StreamState, sequence: number): Promise<number> {
  return source.files.use(async () => {
    const run = state.runs.find((candidate) => runContains(candidate, sequence));
    if (run !== undefined) return run.bytesBefore + sumOf(lengthsOf(run).slice(0, sequence - run.first));
    const sealed = await firstSealed(source, state, (candidate) => candidate.first + candidate.count > sequence);
    if (sealed === undefined) return sequence >= state.end ? state.bytes : (state.runs[0]?.bytesBefore ?? state.bytes);
    const skip = Math.max(sequence - sealed.first, 0);
    return Math.max(sealed.bytesThrough - sumOf((await sealedLengths(source, sealed)).slice(skip)), 0);
  });
}

/** The first sequence with so many bytes, or more, before it; the stream's end when there is none. */
function sequenceAt(source: SizesSource, state: StreamState, bytes: number): Promise<number> {
  return source.files.use(async () => {
    if (bytes <= 0) return 0;
    const sealed = await firstSealed(source, state, (candidate) => candidate.bytesThrough >= bytes);
    if (sealed !== undefined) {
      const lengths = await sealedLengths(source, sealed);
      return sealed.first + stepsTo(bytes - (sealed.bytesThrough - sumOf(lengths)), lengths);
    }
    const run = state.runs.findLast((candidate) => candidate.bytesBefore < bytes);
    return run === undefined ? state.end : run.first + stepsTo(bytes - run.bytesBefore, lengthsOf(run));
  });
}

/** By halving: what `fits` tells must stay true from its first segment on. */
async function firstSealed(
  { files, range }: SizesSource,
  state: StreamState,
  fits: (run: SealedRun) => boolean,
): Promise<SealedRun | undefined> {
  let low = range.firstSegment;
  let high = range.sidecarThrough + 1;
  let found: SealedRun | undefined;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const sidecar = files.sidecar(middle);
    const run = sidecar === undefined ? undefined : await findStream(sidecar, state, files.readAt);
    if (run !== undefined && fits(run)) {
      found = run;
      high = middle;
    } else low = middle + 1;
  }
  return found;
}

async function sealedLengths({ files }: SizesSource, run: SealedRun): Promise<number[]> {
  const sidecar = files.sidecar(run.segment);
  if (sidecar === undefined) return [];
  const index = await readIndex(sidecar, run, { skip: 0, count: run.count }, files.readAt);
  return Array.from({ length: run.count }, (_, i) => index.readUInt32LE(i * INDEX_RECORD_BYTES + 4));
}

function lengthsOf({ places }: Run): number[] {
  return Array.from({ length: places.length / 2 }, (_, i) => places[2 * i + 1] as number);
}

/** How many from the first on it takes to come to so many bytes. */
function stepsTo(bytes: number, lengths: readonly number[]): number {
  let sum = 0;
  for (let i = 0; i < lengths.length; i++) {
    if (sum >= bytes) return i;
    sum += lengths[i] as number;
  }
  return lengths.length;
}

function sumOf(lengths: readonly number[]): number {
  return lengths.reduce((sum, length) => sum + length, 0);
}
