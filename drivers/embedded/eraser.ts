import { type Erased, type Stream, streamKey } from "../../core/ingestion/log.ts";
import type { Disk } from "./disk.ts";
import { type LogFolder, shuttingDown } from "./folder.ts";
import type { StreamReader } from "./reader.ts";
import { blocksOf, type Scrub, scrubSegment } from "./scrub.ts";
import type { SharedProgress } from "./shared.ts";
import type { StateStore } from "./state.ts";

export interface EraserOptions {
  readonly disk: Disk;
  readonly folder: LogFolder;
  readonly state: StateStore;
  readonly reader: StreamReader;
  readonly progress: SharedProgress;
  /** Another thread reads through the segment, or is going to, to index it. */
  readonly isIndexed: (segment: number) => boolean;
  /** Payloads of a segment were erased, which leaves their room; about so many bytes. */
  readonly scrubbed: (segment: number, bytes: number) => void;
}

/**
 * Erases events: first a journal of what is to go, with the amended dead letters, in one transaction; then
 * the payloads, in place; then the journal is struck out. One erasure at a time.
 */
export class Eraser {
  private readonly options: EraserOptions;
  private last: Promise<unknown> = Promise.resolve();
  private wake: (() => void) | undefined;
  private isClosed = false;

  constructor(options: EraserOptions) {
    this.options = options;
  }

  /** Rejects with `shutting_down` once closed; the next start ends what was begun. */
  erase(stream: Stream, sequences: readonly number[], at: number): Promise<Erased> {
    const done = this.last.then(() => this.eraseNow(stream, [...new Set(sequences)], at));
    this.last = done.catch(() => undefined);
    return done;
  }

  /** Runs this while nothing is erased, and none is that was begun and not ended. */
  alone(work: () => Promise<void>): Promise<void> {
    const done = this.last.then(async () => {
      if (!this.isClosed && this.options.state.erasures.pending().length === 0) await work();
    });
    this.last = done.catch(() => undefined);
    return done;
  }

  /** A segment was indexed. */
  indexed(): void {
    this.wake?.();
  }

  /** Resolves when no erasure is under way. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.wake?.();
    await this.last;
  }

  private async eraseNow(stream: Stream, sequences: readonly number[], at: number): Promise<Erased> {
    const { disk, folder, state, reader, progress } = this.options;
    this.checkOpen();
    const found = await Promise.all(sequences.map((sequence) => reader.placeOf(stream, sequence)));
    const key = streamKey(stream);
    const places = found.filter((place) => place !== undefined).map((place) => ({ ...place, stream: key, at }));
    const scrubs: Scrub[] = [];
    for (const inSegment of Map.groupBy(places, (place) => place.segment).values())
      scrubs.push(...(await blocksOf({ disk, folder }, inSegment)));
    const erased = await state.erase(stream, { scrubs, sequences, at });
    await state.forgetKeys();
    // Also those that an attempt before this one may have left.
    const pending = state.erasures.pending();
    for (const [segment, inSegment] of Map.groupBy(pending, (scrub) => scrub.segment)) {
      await this.notIndexed(segment);
      progress.scrubbing();
      try {
        scrubSegment({ disk, folder }, inSegment);
      } finally {
        progress.scrubbing();
      }
    }
    await state.erasures.done(pending);
    for (const { segment, bodyLength } of pending) this.options.scrubbed(segment, bodyLength);
    return erased;
  }

  private async notIndexed(segment: number): Promise<void> {
    while (this.options.isIndexed(segment)) {
      this.checkOpen();
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  private checkOpen(): void {
    if (this.isClosed) throw shuttingDown();
  }
}

/** Ends what a crash interrupted. Before anything else reads the segments: a block may be half written. */
export async function endErasures(options: Pick<EraserOptions, "disk" | "folder" | "state">): Promise<void> {
  const pending = options.state.erasures.pending();
  if (pending.length === 0) return;
  for (const inSegment of Map.groupBy(pending, (scrub) => scrub.segment).values()) scrubSegment(options, inSegment);
  await options.state.erasures.done(pending);
}
