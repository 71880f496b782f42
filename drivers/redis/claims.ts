import { isErrorCode } from "../../core/canonical/errors.ts";
import type { Clock, Logger } from "../../core/environment.ts";
import { type Claim, type Claims, SLOT_COUNT } from "../../core/ingestion/log.ts";
import { type Client, listOf, textOf } from "./client.ts";
import { ALL_SHARDS, type Keys } from "./keys.ts";
import { CLAIM, FENCE, RELEASE } from "./lua-shared.ts";

export interface LeasesOptions {
  readonly client: Client;
  readonly keys: Keys;
  readonly logId: () => string;
  readonly instance: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly leaseMs: number;
  /** A server may be replaced by another that lacks its last writes: then all is claimed anew. */
  readonly followsHistory: boolean;
  /** Told when that has happened. */
  readonly onHistory: () => void;
}

/** The leases of one process or thread. The newest call of `claims` for a worker holds all that the worker has. */
export class Leases {
  private readonly options: LeasesOptions;
  private readonly workers = new Map<string, HeldClaims>();

  constructor(options: LeasesOptions) {
    this.options = options;
  }

  async claims(workerId: string): Promise<Claims> {
    await this.workers.get(workerId)?.end();
    const held = new HeldClaims(`${this.options.instance}/${workerId}`, this.options);
    this.workers.set(workerId, held);
    await held.start();
    return held;
  }

  /** A worker took slots or gave some back: the others look at once what that leaves for them. */
  changed(by: string): void {
    for (const held of this.workers.values()) if (held.worker !== by) held.changed();
  }

  /**
   * The history of a shard's server when a slot was claimed, for the commits under that claim; empty where that is
   * not followed.
   */
  historyOf({ slot, epoch }: Claim, shard: number): string {
    if (!this.options.followsHistory) return "";
    for (const held of this.workers.values()) {
      const history = held.histories.get(slot);
      if (history?.epoch === epoch) return history.shards[shard] as string;
    }
    return "none";
  }

  /** A commit has found another history. */
  claimAnew(): void {
    for (const held of this.workers.values()) held.claimAnew();
  }

  /** Gives back all that is held; what can't be told to Redis ends with its lease. */
  async close(): Promise<void> {
    await Promise.all([...this.workers.values()].map((held) => held.release().catch(() => {})));
  }
}

/** Renewals per lease: two may fail before it ends. */
const RENEWALS = 3;

class HeldClaims implements Claims {
  readonly worker: string;
  /** Slot → the servers' histories when it was claimed, by shard. */
  readonly histories = new Map<number, { readonly epoch: number; readonly shards: readonly string[] }>();
  /** Of all servers, when everything was claimed last; undefined: to be claimed anew. */
  private known: ReadonlySet<string> | undefined;
  private readonly options: LeasesOptions;
  private readonly ended = new AbortController();
  private readonly wakes = new Set<() => void>();
  private claims: readonly Claim[] = [];
  /** Held, but not fenced in every shard yet. */
  private fresh = new Map<number, number>();
  private version = 0;
  private renewedAt = 0;
  private nudge = new AbortController();
  private loop: Promise<void> | undefined;

  constructor(worker: string, options: LeasesOptions) {
    this.worker = worker;
    this.options = options;
  }

  async start(): Promise<void> {
    await this.renew("join");
    this.loop = this.run();
  }

  private async run(): Promise<void> {
    const { clock, leaseMs } = this.options;
    const { signal } = this.ended;
    while (!signal.aborted) {
      await clock.sleep(leaseMs / RENEWALS, AbortSignal.any([signal, this.nudge.signal]));
      if (signal.aborted) return;
      this.nudge = new AbortController();
      await this.renew("stay").catch((error: unknown) => this.failed(error));
    }
  }

  private failed(error: unknown): void {
    const { clock, leaseMs, logger } = this.options;
    logger.warn({ worker: this.worker, error }, "the claims on slots could not be renewed");
    // By now another may have taken them; the fences hold it off from nothing, so stop delivering.
    if (clock.monotonic() - this.renewedAt > leaseMs) this.show([]);
  }

  private async renew(how: "join" | "stay"): Promise<void> {
    const { client, keys, clock, leaseMs } = this.options;
    const askedAt = clock.monotonic();
    const histories = await this.serverHistories();
    if (this.known === undefined || histories.some((history) => !this.known?.has(history))) {
      if (how === "stay") this.options.onHistory();
      how = "join";
    }
    const names = [keys.shared("epochs"), keys.shared("owners"), keys.shared("workers")];
    const args = [this.worker, leaseMs, keys.claimsChannel, SLOT_COUNT, how];
    const reply = listOf(await client.run(CLAIM, names, args)).map(Number);
    this.renewedAt = askedAt;
    const claims: Claim[] = [];
    for (let i = 0; i < reply.length; i += 3) {
      const [slot, epoch, isFresh] = reply.slice(i, i + 3) as [number, number, number];
      claims.push({ slot, epoch });
      if (isFresh === 1) this.fresh.set(slot, epoch);
    }
    await this.fence(claims);
    if (how === "join") this.known = new Set(histories);
    this.show(claims);
  }

  /** Of those that answer: what another server has taken over does not. */
  private async serverHistories(): Promise<string[]> {
    const { client, followsHistory } = this.options;
    if (!followsHistory) return [];
    const told = await Promise.allSettled(client.primaries.map((node) => node.info("replication")));
    return told.flatMap((one) =>
      one.status === "fulfilled" ? (/master_replid:(\w+)/.exec(one.value)?.slice(1, 2) ?? []) : [],
    );
  }

  /** A claim counts once every older one is void, in every shard. */
  private async fence(claims: readonly Claim[]): Promise<void> {
    const { client, keys, logId } = this.options;
    const due = claims.filter(({ slot, epoch }) => this.fresh.get(slot) === epoch);
    this.fresh = new Map(due.map(({ slot, epoch }) => [slot, epoch]));
    if (due.length === 0) return;
    const args = [logId(), ...due.flatMap(({ slot, epoch }) => [slot, epoch])];
    const fence = (shard: number) => client.run(FENCE, [keys.id(shard), keys.fences(shard)], args);
    const shards = (await Promise.all(ALL_SHARDS.map(fence))).map(textOf);
    for (const { slot, epoch } of due) this.histories.set(slot, { epoch, shards });
    this.fresh.clear();
  }

  private show(claims: readonly Claim[]): void {
    if (this.version > 0 && shown(claims) === shown(this.claims)) return;
    this.claims = claims;
    this.version++;
    this.wakeAll();
  }

  changed(): void {
    this.nudge.abort();
  }

  claimAnew(): void {
    this.known = undefined;
    this.nudge.abort();
  }

  private wakeAll(): void {
    for (const wake of this.wakes) wake();
    this.wakes.clear();
  }

  async *held(signal: AbortSignal): AsyncGenerator<readonly Claim[]> {
    let seen = 0;
    while (!signal.aborted && !this.ended.signal.aborted) {
      if (seen === this.version) await this.change(signal);
      else {
        seen = this.version;
        yield this.claims;
      }
    }
  }

  private async change(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.wakes.add(resolve);
    const onAbort = (): void => resolve();
    signal.addEventListener("abort", onAbort, { once: true });
    await promise;
    signal.removeEventListener("abort", onAbort);
    this.wakes.delete(resolve);
  }

  /** Ends here, and keeps the lease: for the same worker to take over. */
  async end(): Promise<void> {
    this.ended.abort();
    this.wakeAll();
    await this.loop;
  }

  async release(): Promise<void> {
    if (this.ended.signal.aborted) return;
    await this.end();
    const { client, keys } = this.options;
    try {
      await client.run(RELEASE, [keys.shared("owners"), keys.shared("workers")], [this.worker, keys.claimsChannel]);
    } catch (error) {
      // The lease ends by itself.
      if (!isErrorCode(error, "log_unavailable")) throw error;
    }
  }
}

function shown(claims: readonly Claim[]): string {
  return claims.map(({ slot, epoch }) => `${slot}:${epoch}`).join();
}
