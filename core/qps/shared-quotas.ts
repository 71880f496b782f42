import type { Clock } from "../environment.ts";
import { updateDocument } from "../ingestion/control.ts";
import type { ControlStore } from "../ingestion/log.ts";
import type { QuotaShare } from "./quota.ts";
import { isAtRest, type Rate, settleLevel, type SharedLevel, SharedTokens } from "./shared-tokens.ts";

export interface SharedQuotasOptions {
  readonly control: ControlStore;
  /** Names this process among those that share. */
  readonly instance: string;
  /** How many take events, as far as is known; at least 1. */
  readonly processes: () => number;
  readonly clock: Clock;
}

/** Buckets by `tenant policy`, and the rates that they were used with. */
type Levels = Readonly<Record<string, SharedLevel & { readonly rate: Rate }>>;

/** Documents that the buckets are spread over. */
const DOCUMENTS = 8;
const PREFIX = "quotas/";

/** The quotas of all tenants, each one bucket that the processes which take events share by way of the control store. */
export class SharedQuotas {
  readonly #options: SharedQuotasOptions;
  readonly #documents: ReadonlyArray<Map<string, SharedTokens>>;

  constructor(options: SharedQuotasOptions) {
    this.#options = options;
    this.#documents = Array.from({ length: DOCUMENTS }, () => new Map());
  }

  shareOf(tenantId: string): QuotaShare {
    const { processes } = this.#options;
    return {
      tokens: (policy, rate) => this.#tokens(`${tenantId} ${policy}`, rate),
      get processes() {
        return processes();
      },
    };
  }

  /** Tells the others what was used here and hears of what is left. Rejects when that can't be done now. */
  async exchange(): Promise<void> {
    await Promise.all(this.#documents.map((buckets, i) => this.#exchangeOne(`${PREFIX}${i}`, buckets)));
  }

  /** Whether some bucket in use is this process's own for now. */
  isCutOff(): boolean {
    const now = this.#options.clock.monotonic();
    return this.#documents.some((buckets) => [...buckets.values()].some((tokens) => tokens.isCutOff(now)));
  }

  #tokens(name: string, rate: Rate): SharedTokens {
    const buckets = this.#documents[documentOf(name)] as Map<string, SharedTokens>;
    const known = buckets.get(name);
    if (known !== undefined) {
      known.rate = rate;
      return known;
    }
    const made = new SharedTokens(rate, this.#options.processes);
    buckets.set(name, made);
    return made;
  }

  async #exchangeOne(key: string, buckets: ReadonlyMap<string, SharedTokens>): Promise<void> {
    const { control, clock, instance } = this.#options;
    const told = [...buckets]
      .filter(([, tokens]) => tokens.isInUse(clock.monotonic()))
      .map(([name, tokens]) => ({ name, tokens, used: tokens.used }));
    if (told.length === 0) return;
    const { value } = await updateDocument<Levels>(control, key, {
      change: (known = {}) => {
        const now = clock.now();
        const used = told.map(({ name, tokens: { rate }, used }) => {
          return [name, { ...settleLevel(known[name], { instance, rate, used, now }), rate }] as const;
        });
        const others = Object.entries(known).filter(([, one]) => !isAtRest(one, one.rate, now));
        return { ...Object.fromEntries(others), ...Object.fromEntries(used) };
      },
    });
    const now = clock.monotonic();
    for (const { name, tokens, used } of told) tokens.heard(value[name] as SharedLevel, { used, now });
  }
}

function documentOf(name: string): number {
  let hash = 0;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash, 31) + name.charCodeAt(i);
  return (hash >>> 0) % DOCUMENTS;
}
