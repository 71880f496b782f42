import type { Database, RootDatabase } from "lmdb";
import type { StreamKey } from "../../core/ingestion/log.ts";
import type { Scrub } from "./scrub.ts";

type Place = [stream: StreamKey, sequence: number];

const FORGET_AT_ONCE = 1_000;

/** Which events were erased, and the journal of payloads that may still be in their segments. */
export class ErasureStore {
  private readonly erasedAt: Database<number, Place>;
  private readonly scrubs: Database<Scrub, Place>;
  private readonly write: <T>(action: () => T) => Promise<T>;

  /** `write`: runs changes in one transaction. */
  constructor(env: RootDatabase, write: <T>(action: () => T) => Promise<T>) {
    this.erasedAt = env.openDB<number, Place>({ name: "erasures" });
    this.scrubs = env.openDB<Scrub, Place>({ name: "scrubs" });
    this.write = write;
  }

  /** When it was erased; undefined when it was not. */
  at(stream: StreamKey, sequence: number): number | undefined {
    return this.erasedAt.get([stream, sequence]);
  }

  /** Within a transaction. How many were not erased before. */
  note(scrubs: readonly Scrub[]): number {
    const fresh = scrubs.filter(({ stream, sequence }) => this.at(stream, sequence) === undefined);
    for (const scrub of fresh) {
      void this.erasedAt.put([scrub.stream, scrub.sequence], scrub.at);
      void this.scrubs.put([scrub.stream, scrub.sequence], scrub);
    }
    return fresh.length;
  }

  pending(): Scrub[] {
    return [...this.scrubs.getRange({}).map(({ value }) => value)];
  }

  async done(scrubs: readonly Scrub[]): Promise<void> {
    await this.write(() => {
      for (const { stream, sequence } of scrubs) void this.scrubs.remove([stream, sequence]);
    });
  }

  /** What is gone from the log needs no mark any more. */
  async forget(stream: StreamKey, end: number): Promise<void> {
    for (let left = true; left; ) left = await this.write(() => this.forgetSome(stream, end));
  }

  private forgetSome(stream: StreamKey, end: number): boolean {
    const range = { start: [stream, -1] as Place, end: [stream, end] as Place };
    const old = [...this.erasedAt.getKeys({ ...range, limit: FORGET_AT_ONCE })];
    for (const place of old) {
      void this.erasedAt.remove(place);
      void this.scrubs.remove(place);
    }
    return old.length === FORGET_AT_ONCE;
  }
}
