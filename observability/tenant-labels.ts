import { OTHER } from "./families.ts";

/** Most tenants with labels of their own. */
export const TENANT_LABELS_MAX = 100;

/** What a tenant sent before the last ranking counts half as much as what it sent since. */
const FADING = 0.5;
/** A tenant without a label takes the place of one that has it only with so many times its traffic: so none comes and goes. */
const LEAD = 2;

/**
 * Which tenants have labels of their own: those with the most traffic. A tenant that loses its label takes its
 * series with it, and counts under `other` from then on; what it counted before is not added there, so that no
 * counter jumps or falls, and rates stay right.
 */
export class TenantLabels {
  readonly #max: number;
  readonly #onLost: (tenantIds: ReadonlySet<string>) => void;
  #named = new Set<string>();
  #scores = new Map<string, number>();
  #configured: readonly string[] = [];
  #isTold = false;

  /** `onLost` is told who had a label and has none from now on. */
  constructor(max: number, onLost: (tenantIds: ReadonlySet<string>) => void) {
    this.#max = max;
    this.#onLost = onLost;
  }

  /** The label of a tenant. While there is room, whoever comes gets one. */
  of(tenantId: string): string {
    if (this.#named.has(tenantId)) return tenantId;
    if (this.#isTold || this.#named.size >= this.#max) return OTHER;
    this.#named.add(tenantId);
    return tenantId;
  }

  /** Who has labels now. */
  names(): string[] {
    return [...this.#named];
  }

  /** Another thread decides: these have labels, and nobody else until it says so. */
  follow(tenantIds: readonly string[]): void {
    this.#isTold = true;
    this.#replace(new Set(tenantIds));
  }

  /** These are configured: they have labels before any other, as far as there is room. */
  configure(tenantIds: readonly string[]): void {
    this.#configured = tenantIds;
    const wanted = new Set(tenantIds);
    const known = [...this.#named];
    const inOrder = [...known.filter((id) => wanted.has(id)), ...tenantIds, ...known];
    this.#replace(new Set([...new Set(inOrder)].slice(0, this.#max)));
  }

  /** Decides anew. `traffic`: what each tenant had since the last time. */
  rank(traffic: ReadonlyMap<string, number>): void {
    const scores = new Map<string, number>();
    const add = (tenantId: string, score: number): void => {
      scores.set(tenantId, (scores.get(tenantId) ?? 0) + score);
    };
    for (const tenantId of this.#named) add(tenantId, 0);
    for (const tenantId of this.#configured) add(tenantId, 0);
    for (const [tenantId, score] of this.#scores) add(tenantId, score * FADING);
    for (const [tenantId, events] of traffic) add(tenantId, events);
    // A stable sort: among equals, those that have a label stand first.
    const ranked = [...scores].map(([tenantId, score]) => {
      return { tenantId, rank: this.#named.has(tenantId) ? score * LEAD : score };
    });
    ranked.sort((a, b) => b.rank - a.rank);
    this.#scores = new Map([...scores].filter(([, score]) => score >= 1));
    this.#replace(new Set(ranked.slice(0, this.#max).map(({ tenantId }) => tenantId)));
  }

  #replace(named: Set<string>): void {
    const lost = new Set([...this.#named].filter((tenantId) => !named.has(tenantId)));
    this.#named = named;
    if (lost.size > 0) this.#onLost(lost);
  }
}
