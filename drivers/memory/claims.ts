import { PulseGateError } from "../../core/canonical/errors.ts";
import { type Claim, type Claims, SLOT_COUNT } from "../../core/ingestion/log.ts";

interface Slot {
  epoch: number;
  owner: Owner | undefined;
}

/** Who owns which slot. A worker takes every slot that is free; slots that come free go to the worker that waits longest. */
export class ClaimTable {
  readonly #slots: Slot[] = Array.from({ length: SLOT_COUNT }, () => ({ epoch: 0, owner: undefined }));
  #owners: Owner[] = [];

  claims(workerId: string): Claims {
    // The same worker again is a restarted one: its old claims are void.
    for (const old of this.#owners.filter((owner) => owner.workerId === workerId)) this.#leave(old);
    const owner = new Owner(workerId, () => this.#claimsOf(owner));
    this.#owners.push(owner);
    this.#handOut();
    return {
      held: (signal) => owner.held(signal),
      release: async () => this.#leave(owner),
    };
  }

  #claimsOf(owner: Owner): Claim[] {
    return this.#slots.flatMap(({ epoch, owner: holder }, slot) => (holder === owner ? [{ slot, epoch }] : []));
  }

  #handOut(): void {
    const [first] = this.#owners;
    if (first === undefined) return;
    for (const slot of this.#slots) {
      if (slot.owner !== undefined) continue;
      slot.epoch++;
      slot.owner = first;
      first.changed();
    }
  }

  #leave(owner: Owner): void {
    this.#owners = this.#owners.filter((other) => other !== owner);
    for (const slot of this.#slots) if (slot.owner === owner) slot.owner = undefined;
    owner.end();
    this.#handOut();
  }

  /** Another process takes the slot: the newest claim is its own. */
  takeOver(slot: number): Claim {
    const taken = this.#slots[slot] as Slot;
    const loser = taken.owner;
    taken.epoch++;
    taken.owner = FOREIGN;
    loser?.changed();
    return { slot, epoch: taken.epoch };
  }

  /** That other process gives the slot back. */
  giveBack(slot: number): void {
    const taken = this.#slots[slot] as Slot;
    if (taken.owner !== FOREIGN) return;
    taken.owner = undefined;
    this.#handOut();
  }

  /** Throws `fenced` unless the claim is its slot's newest. */
  check(claim: Claim, laneSlot: number): void {
    if (claim.slot !== laneSlot || this.#slots[claim.slot]?.epoch !== claim.epoch) {
      throw new PulseGateError("fenced", `epoch ${claim.epoch} of slot ${claim.slot} is not the newest claim`);
    }
  }

  /** The process died: nobody owns anything, the epochs stay. */
  forget(): void {
    for (const owner of this.#owners) owner.end();
    this.#owners = [];
    for (const slot of this.#slots) slot.owner = undefined;
  }
}

class Owner {
  readonly workerId: string;
  readonly #claims: () => readonly Claim[];
  #version = 0;
  #ended = false;
  readonly #wakes = new Set<() => void>();

  constructor(workerId: string, claims: () => readonly Claim[]) {
    this.workerId = workerId;
    this.#claims = claims;
  }

  changed(): void {
    this.#version++;
    this.#wakeAll();
  }

  end(): void {
    this.#ended = true;
    this.#wakeAll();
  }

  #wakeAll(): void {
    for (const wake of this.#wakes) wake();
    this.#wakes.clear();
  }

  async *held(signal: AbortSignal): AsyncGenerator<readonly Claim[]> {
    let seen = -1;
    while (!signal.aborted && !this.#ended) {
      if (seen === this.#version) await this.#change(signal);
      else {
        seen = this.#version;
        yield this.#claims();
      }
    }
  }

  async #change(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wakes.add(resolve);
    signal.addEventListener("abort", () => resolve(), { once: true });
    await promise;
    this.#wakes.delete(resolve);
  }
}

const FOREIGN = new Owner("another process", () => []);
