import { type FileHandle, open } from "node:fs/promises";
import { type CanonicalEvent, definePlugin, encodeEvent, type SinkOutcome, type SinkPlugin } from "../../contract.ts";
import { type Config, config } from "./config.ts";

const NAME = "file_sink";
const VERSION = "1.0.0";

export default definePlugin({
  kind: "sink",
  name: NAME,
  version: VERSION,
  summary: "Appends events to a file, one JSON line for each, on disk before they count as delivered",
  config,
  create: () => new FileSink(),
});

class FileSink implements SinkPlugin {
  readonly name = NAME;
  readonly version = VERSION;
  #path = "";
  #file: FileHandle | undefined;
  /** Something that is no whole line may stand at the end of the file. */
  #torn = false;
  /** Batches go to the file one after another. */
  #last: Promise<unknown> = Promise.resolve();

  async init(options: unknown): Promise<void> {
    this.#path = (options as Config).path;
  }

  async send(event: CanonicalEvent, ctx: { readonly signal: AbortSignal }): Promise<SinkOutcome> {
    const [outcome] = await this.sendBatch([event], ctx);
    return outcome as SinkOutcome;
  }

  async sendBatch(
    events: readonly CanonicalEvent[],
    ctx: { readonly signal: AbortSignal },
  ): Promise<readonly SinkOutcome[]> {
    const delivery = this.#last.then(() => this.#deliver(events, ctx.signal));
    this.#last = delivery;
    return delivery;
  }

  async #deliver(events: readonly CanonicalEvent[], signal: AbortSignal): Promise<readonly SinkOutcome[]> {
    const outcome = signal.aborted ? CANCELLED : await this.#append(events);
    return events.map(() => outcome);
  }

  async #append(events: readonly CanonicalEvent[]): Promise<SinkOutcome> {
    try {
      this.#file ??= await this.#open();
      const lines = events.flatMap((event) => [encodeEvent(event), NEWLINE]);
      await writeAll(this.#file, Buffer.concat(this.#torn ? [NEWLINE, ...lines] : lines));
      await this.#file.datasync();
      this.#torn = false;
      return { type: "ok" };
    } catch (error) {
      return await this.#failed(error as NodeJS.ErrnoException);
    }
  }

  /** Opened for appending: no other writer's lines can be overwritten. */
  async #open(): Promise<FileHandle> {
    const file = await open(this.#path, "a+", 0o600);
    const { size } = await file.stat();
    const { buffer, bytesRead } = await file.read(Buffer.alloc(1), 0, 1, Math.max(0, size - 1));
    this.#torn = bytesRead === 1 && buffer[0] !== NEWLINE[0];
    return file;
  }

  /** The file is opened anew: after a failed sync its pages can't be trusted, and the whole batch comes again. */
  async #failed({ code, message }: NodeJS.ErrnoException): Promise<SinkOutcome> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close().catch(() => {});
    // A full disk, a missing folder, a closed door: never the fault of an event.
    return { type: "retry", code: code ?? "write_failed", reason: message, unavailable: true };
  }

  async check(): Promise<void> {
    await (await open(this.#path, "a", 0o600)).close();
  }

  async close(): Promise<void> {
    await this.#last;
    await this.#file?.close();
    this.#file = undefined;
  }
}

const NEWLINE = Buffer.from("\n");
const CANCELLED: SinkOutcome = {
  type: "retry",
  code: "aborted",
  reason: "the delivery was cancelled",
  unavailable: true,
};

async function writeAll(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, at);
    at += bytesWritten;
  }
}
