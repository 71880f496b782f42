import { PulseGateError } from "../../core/canonical/errors.ts";
import type { Clock, Logger } from "../../core/environment.ts";
import type { LogMetrics } from "../../core/ingestion/metrics.ts";
import { isOutOfSpace } from "./disk.ts";
import { shuttingDown } from "./folder.ts";
import type { CompactReply, CompactRequest, Indexed } from "./keeper.ts";
import type { KeeperClient, KeeperReply, KeeperRequest } from "./keeper-client.ts";
import type { Sealed } from "./sidecar-writer.ts";

const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 2_000;

export interface ChoresOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: LogMetrics;
  /** Starts the keeper that does them. */
  readonly start: (onReply: (reply: KeeperReply) => void) => KeeperClient;
  readonly prepared: () => void;
  /** There was no room for the next segment; it is tried again. */
  readonly prepareFailed: () => void;
  readonly indexed: (indexed: Indexed) => void;
  /** Before a chore that found no room is tried again: the moment to make some. */
  readonly retrying: () => void;
  /** No fault to go on with. */
  readonly failed: (error: PulseGateError) => void;
}

/** What the keeper does for the log: asked for in order, tried again while there is no room. */
export class Chores {
  private readonly options: ChoresOptions;
  private readonly keeper: KeeperClient;
  private readonly closing = new AbortController();
  private readonly toIndex: Sealed[] = [];
  private retryMs = RETRY_MS_MIN;
  private awaited: ((reply: KeeperReply) => void) | undefined;
  private compacting: PromiseWithResolvers<CompactReply> | undefined;
  private onAllIndexed: (() => void) | undefined;

  constructor(options: ChoresOptions) {
    this.options = options;
    this.keeper = options.start((reply) => this.onReply(reply));
  }

  /** For the start, when there is nothing to do meanwhile. */
  async ask(request: KeeperRequest): Promise<KeeperReply> {
    const reply = await new Promise<KeeperReply>((resolve) => {
      this.awaited = resolve;
      this.keeper.send(request);
    });
    this.awaited = undefined;
    if (reply.type !== "failed") return reply;
    if (reply.code === "log_corrupt") throw new PulseGateError("log_corrupt", reply.message);
    const code = isOutOfSpace(reply) ? "log_full" : "log_unavailable";
    throw new PulseGateError(code, `The ingestion log can't be opened: ${reply.message}`);
  }

  prepare(segment: number): void {
    this.keeper.send({ type: "prepare", segment });
  }

  /** One at a time: each sidecar goes on from where the one before ends. */
  index(sealed: Sealed): void {
    this.toIndex.push(sealed);
    if (this.toIndex.length === 1) this.keeper.send({ type: "index", sealed });
  }

  /** Rejects with what it failed of. */
  compact(what: CompactRequest): Promise<CompactReply> {
    const reply = Promise.withResolvers<CompactReply>();
    this.compacting = reply;
    this.keeper.send({ type: "compact", what });
    return reply.promise;
  }

  isToIndex(segment: number): boolean {
    return this.toIndex.some((sealed) => sealed.segment === segment);
  }

  /** Resolves when all that is sealed has a sidecar, or when the time is over. */
  async indexedOrLate(waitMs: number): Promise<void> {
    if (this.toIndex.length === 0) return;
    const indexed = new AbortController();
    this.onAllIndexed = () => indexed.abort();
    await this.options.clock.sleep(waitMs, indexed.signal);
  }

  /** From here on replies change nothing. */
  stop(): void {
    this.closing.abort();
    this.compacting?.reject(shuttingDown());
  }

  /** Resolves once nothing more is touched. */
  close(): Promise<void> {
    return this.keeper.close();
  }

  private onReply(reply: KeeperReply): void {
    if (this.closing.signal.aborted) return;
    if (this.awaited !== undefined) this.awaited(reply);
    else if (reply.type === "prepared") {
      this.retryMs = RETRY_MS_MIN;
      this.options.prepared();
    } else if (reply.type === "indexed") this.onIndexed(reply.indexed);
    else if (reply.type === "compacted") this.compacting?.resolve(reply.reply);
    else if (reply.type === "failed" && reply.request.type === "compact")
      this.compacting?.reject(new PulseGateError("log_unavailable", reply.message));
    else if (reply.type === "failed") void this.onFailed(reply);
  }

  private onIndexed(indexed: Indexed): void {
    this.toIndex.shift();
    const [next] = this.toIndex;
    if (next === undefined) this.onAllIndexed?.();
    else this.keeper.send({ type: "index", sealed: next });
    this.options.indexed(indexed);
  }

  /** Waits for room and tries again; anything else is no fault to go on with. */
  private async onFailed({ request, code, message }: Extract<KeeperReply, { type: "failed" }>): Promise<void> {
    const { clock, logger, metrics } = this.options;
    if (!isOutOfSpace({ code })) {
      const fault = code === "log_corrupt" ? "log_corrupt" : "log_unavailable";
      this.options.failed(new PulseGateError(fault, `The ingestion log can't go on: ${message}`));
      return;
    }
    metrics.failed("log_full");
    logger.warn(
      { code, reason: message, chore: request.type, retryMs: this.retryMs },
      "no room on the log's storage; trying again",
    );
    if (request.type === "prepare") this.options.prepareFailed();
    await clock.sleep(this.retryMs, this.closing.signal);
    if (this.closing.signal.aborted) return;
    this.retryMs = Math.min(this.retryMs * 2, RETRY_MS_MAX);
    this.options.retrying();
    this.keeper.send(request);
  }
}
