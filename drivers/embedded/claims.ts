import type { Claim, Claims } from "../../core/ingestion/log.ts";
import type { StateStore } from "./state.ts";

/**
 * The slots of one handle. They are the handle's alone, so claiming is one step: their epochs rise,
 * which fences whoever held them before. The newest call of `claims` holds them all.
 */
export class SlotClaims {
  private readonly state: StateStore;
  private readonly slots: readonly number[];
  private current: HeldClaims | undefined;

  constructor(state: StateStore, slots: readonly number[]) {
    this.state = state;
    this.slots = slots;
  }

  async claims(): Promise<Claims> {
    const held = new HeldClaims(await this.state.claim(this.slots));
    this.current?.end();
    this.current = held;
    return held;
  }

  close(): void {
    this.current?.end();
  }
}

class HeldClaims implements Claims {
  private readonly claims: readonly Claim[];
  private readonly ended = Promise.withResolvers<void>();
  private isOver = false;

  constructor(claims: readonly Claim[]) {
    this.claims = claims;
  }

  async *held(signal: AbortSignal): AsyncGenerator<readonly Claim[]> {
    if (signal.aborted || this.isOver) return;
    yield this.claims;
    if (signal.aborted || this.isOver) return;
    const aborted = Promise.withResolvers<void>();
    const onAbort = (): void => aborted.resolve();
    signal.addEventListener("abort", onAbort, { once: true });
    await Promise.race([aborted.promise, this.ended.promise]);
    signal.removeEventListener("abort", onAbort);
  }

  async release(): Promise<void> {
    this.end();
  }

  end(): void {
    this.isOver = true;
    this.ended.resolve();
  }
}
