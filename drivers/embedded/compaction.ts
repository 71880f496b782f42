import type { Clock, Logger } from "../../core/environment.ts";
import type { StreamKey } from "../../core/ingestion/log.ts";
import type { Eraser } from "./eraser.ts";
import type { CompactReply, CompactRequest } from "./keeper.ts";
import type { SharedProgress } from "./shared.ts";

export interface CompactionOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly progress: SharedProgress;
  readonly eraser: Pick<Eraser, "alone">;
  readonly marks: () => ReadonlyMap<StreamKey, number>;
  /** Nothing changes the segments meanwhile but what is appended. */
  readonly compact: (request: CompactRequest) => Promise<CompactReply>;
  /** Events accepted before need no names any more. */
  readonly namesSince: () => number;
  /** Storage is short: less is worth the work. */
  readonly isPressed: () => boolean;
  readonly compacted: (segment: number) => void;
  /** What had to wait for it can go on. */
  readonly written: () => void;
  readonly failed: (error: unknown) => void;
}

/** What is let go of comes in many calls: the work waits for the last of them. */
const SETTLE_MS = 1_000;
const DEAD_SHARE_MIN = 0.5;
const DEAD_SHARE_MIN_PRESSED = 0.1;
/** Other threads may still be reading through the newest segments. */
const SEGMENTS_BEHIND = 2;

/** Frees the room of what was let go of in the midst of segments: one segment after another, and never two passes at once. */
export class Compaction {
  private readonly options: CompactionOptions;
  private readonly erasedBytes = new Map<number, number>();
  private readonly closing = new AbortController();
  private pass: Promise<void> | undefined;
  private isWanted = false;
  /** The segments must stay as they are, but for what is appended. */
  isWriting = false;

  constructor(options: CompactionOptions) {
    this.options = options;
  }

  /** Something was let go of. */
  want(): void {
    this.isWanted = true;
    this.pass ??= this.run().finally(() => {
      this.pass = undefined;
    });
  }

  erased(segment: number, bytes: number): void {
    this.erasedBytes.set(segment, (this.erasedBytes.get(segment) ?? 0) + bytes);
    this.want();
  }

  /** What was let go of may still take up room. */
  get isUnderWay(): boolean {
    return this.pass !== undefined;
  }

  async close(): Promise<void> {
    this.closing.abort();
    await this.pass;
  }

  private async run(): Promise<void> {
    const { clock, progress, failed } = this.options;
    try {
      while (this.isWanted && !this.closing.signal.aborted) {
        await clock.sleep(SETTLE_MS, this.closing.signal);
        this.isWanted = false;
        for (
          let at = progress.firstSegment;
          !this.closing.signal.aborted;
          at = Math.max(at + 1, progress.firstSegment)
        ) {
          if (at > progress.sidecarThrough - SEGMENTS_BEHIND) break;
          await this.options.eraser.alone(() => this.compactOne(at));
          this.options.written();
        }
      }
    } catch (error) {
      if (!this.closing.signal.aborted) failed(error);
    }
  }

  private async compactOne(segment: number): Promise<void> {
    const { progress, logger } = this.options;
    if (segment < progress.firstSegment || this.closing.signal.aborted) return;
    this.isWriting = true;
    const { freedBytes } = await this.options
      .compact({
        segment,
        marks: this.options.marks(),
        namesSince: this.options.namesSince(),
        at: this.options.clock.now(),
        erasedBytes: this.erasedBytes.get(segment) ?? 0,
        deadShareMin: this.options.isPressed() ? DEAD_SHARE_MIN_PRESSED : DEAD_SHARE_MIN,
      })
      .finally(() => {
        this.isWriting = false;
      });
    if (freedBytes === undefined) return;
    this.erasedBytes.delete(segment);
    this.options.compacted(segment);
    logger.debug({ segment, freedBytes }, "a segment was compacted");
  }
}
