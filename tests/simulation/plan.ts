import type { Random } from "../../core/environment.ts";
import type { BatchPolicy, Ordering, RetryPolicy } from "../../core/ingestion/revision.ts";
import type { MemoryFaults } from "../../drivers/memory/index.ts";
import { seededRandom } from "../helpers/sim-clock.ts";

/** All that one simulated run will do, drawn from its seed before it begins. Times are in ms of the simulated clock. */
export interface Plan {
  readonly seed: number;
  readonly profile: Profile;
  readonly tenants: readonly TenantPlan[];
  readonly events: readonly EventPlan[];
  readonly logFaults: MemoryFaults;
  /** When the worker's process dies. */
  readonly crashesAt: readonly number[];
  /** Whether lanes change their owner: by crashes or lost claims. */
  readonly moves: boolean;
  /** When the last of the planned events is sent and every outage is over. */
  readonly endsAt: number;
}

/**
 * `neighbour`: one tenant suffers, the other must not notice. `outage`: targets are out, nothing is
 * poisoned. `poison`: events and transforms fail for good or for a while. `chaos`: all of it, and the log fails, too.
 */
export type Profile = "neighbour" | "outage" | "poison" | "chaos";
const PROFILES: readonly Profile[] = ["neighbour", "outage", "poison", "chaos"];

export interface TenantPlan {
  readonly id: string;
  readonly partitions: number;
  readonly sinks: readonly SinkPlan[];
  /** What the tenant's transform does with an event; absent, it passes. */
  readonly transform: ReadonlyMap<string, TransformFault>;
}

export interface SinkPlan {
  readonly id: string;
  /** Whether the sink has `sendBatch`. */
  readonly batches: boolean;
  readonly latencyMs: number;
  readonly outages: readonly Outage[];
  readonly faults: ReadonlyMap<string, SinkFault>;
  readonly retry: RetryPolicy;
  readonly batch: BatchPolicy;
  readonly windowEvents: number;
  readonly ordering: Ordering | undefined;
  /** Whether a batch is taken in its order, and nothing behind an event that is not taken. */
  readonly keepsOrder: boolean;
}

export interface Outage {
  readonly from: number;
  readonly to: number;
  readonly kind: "unavailable" | "retry" | "throw" | "hang";
}

/**
 * `error`, `retry`, `reject`, `throw`, `hang`: poison, in the way that it shows. `transient`: fails
 * `times` times. `lost_answer`: is stored, and answered as if it was not, once.
 */
export type SinkFault =
  | { readonly kind: "error" | "retry" | "reject" | "throw" | "hang" | "lost_answer" }
  | { readonly kind: "transient"; readonly times: number };

/** `retry` fails for ever and says that it might not. */
export type TransformFault =
  | { readonly kind: "drop" | "error" | "throw" | "retry" }
  | { readonly kind: "transient"; readonly times: number };

export interface EventPlan {
  readonly id: string;
  readonly tenantId: string;
  readonly partition: number;
  readonly at: number;
  /** At `/k` of the payload. */
  readonly key: string | undefined;
}

export const ATTEMPTS = 8;
const LOAD_MS = 8_000;

/** The same seed gives the same plan. */
export function planOf(seed: number): Plan {
  const random = seededRandom(seed * 7919 + 1);
  const orderRandom = seededRandom(seed * 6301 + 5);
  const profile = PROFILES[seed % PROFILES.length] as Profile;
  const drafts = ["noisy", "calm"].map((id) => withOrdering(tenantDraft(id, random), orderRandom));
  const events = drafts.flatMap((tenant) => eventsOf(tenant, random)).map((event) => withKey(event, orderRandom));
  const tenants = drafts.map((tenant) => {
    const own = events.filter(({ tenantId }) => tenantId === tenant.id).map(({ id }) => id);
    return withFaults(tenant, {
      profile: tenant.id === "calm" && profile === "neighbour" ? "calm" : profile,
      own,
      random,
    });
  });
  // Half of the chaos leaves the lanes with their owner: there, nothing may be delivered again.
  const moves = profile === "chaos" && random() < 0.5;
  return {
    seed,
    profile,
    tenants,
    events: events.sort((a, b) => a.at - b.at),
    logFaults: profile === "chaos" ? { ...LOG_FAULTS, lostClaim: moves ? 0.02 : 0 } : {},
    crashesAt: moves ? times(int(random, 0, 3), () => int(random, 100, LOAD_MS)) : [],
    moves,
    endsAt: LOAD_MS,
  };
}

const LOG_FAULTS: MemoryFaults = {
  delayMsMax: 5,
  failure: 0.05,
  unknown: 0.05,
  readFailure: 0.03,
  deadLetterFailure: 0.3,
  lostClaimMsMax: 500,
  full: 0.01,
  fullMsMax: 300,
  keepInFlight: 0.5,
};

type TenantDraft = Pick<TenantPlan, "id" | "partitions"> & { readonly sinks: readonly SinkPlan[] };

function tenantDraft(id: string, random: Random): TenantDraft {
  const sinks = times(int(random, 1, 2), (i) => ({
    id: `sink_${i}`,
    batches: random() < 0.8,
    latencyMs: int(random, 1, 20),
    outages: [],
    faults: new Map(),
    retry: { attempts: ATTEMPTS, backoffMinMs: 20, backoffMaxMs: 1_000, timeoutMs: 1_000 },
    batch: { eventsMax: pick(random, [1, 3, 10, 100]), bytesMax: 1 << 20, lingerMs: pick(random, [0, 10, 200]) },
    windowEvents: pick(random, [8, 40, 400]),
    ordering: undefined,
    keepsOrder: false,
  }));
  return { id, partitions: int(random, 1, 2), sinks };
}

/** Half of the sinks ask for some order. */
function withOrdering(tenant: TenantDraft, random: Random): TenantDraft {
  const sinks = tenant.sinks.map((sink) => {
    const ordering = pick<Ordering | undefined>(random, [undefined, undefined, undefined, BY_KEY, BY_KEY, "stream"]);
    return { ...sink, ordering, keepsOrder: sink.batches && random() < 0.5 };
  });
  return { ...tenant, sinks };
}

const BY_KEY = { key: "/k" };

function withKey(event: Omit<EventPlan, "key">, random: Random): EventPlan {
  return { ...event, key: pick(random, ["a", "a", "b", "c", undefined]) };
}

function eventsOf({ id: tenantId, partitions }: TenantDraft, random: Random): Omit<EventPlan, "key">[] {
  // Single events and bursts, so that batches of all sizes come about.
  return times(int(random, 5, 25), (burst) => {
    const at = int(random, 0, LOAD_MS);
    return times(random() < 0.3 ? int(random, 2, 12) : 1, (i) => {
      return { id: `${tenantId}-${burst}-${i}`, tenantId, partition: int(random, 0, partitions - 1), at };
    });
  }).flat();
}

interface FaultOptions {
  readonly profile: Profile | "calm";
  /** Ids of the tenant's events. */
  readonly own: readonly string[];
  readonly random: Random;
}

function withFaults(tenant: TenantDraft, { profile, own, random }: FaultOptions): TenantPlan {
  const hasOutages = profile !== "calm" && profile !== "poison";
  const hasPoison = profile !== "calm" && profile !== "outage";
  const sinks = tenant.sinks.map((sink) => ({
    ...sink,
    outages: hasOutages ? outagesOf(random) : [],
    faults: hasPoison
      ? faultsOf(
          sink,
          assign(own, random, () => sinkFault(random)),
        )
      : new Map<string, SinkFault>(),
  }));
  const transform = hasPoison
    ? assign(own, random, (): TransformFault | undefined => transformFault(random))
    : new Map();
  return { ...tenant, sinks, transform };
}

/** Where nothing may pass an event that fails, nothing tells it from an outage: it blocks its lane until someone acts. */
function faultsOf({ ordering }: SinkPlan, faults: ReadonlyMap<string, SinkFault>): Map<string, SinkFault> {
  const isBlocking = ({ kind }: SinkFault) => kind === "retry" || kind === "throw" || kind === "hang";
  return new Map(
    [...faults].map(([id, fault]) => [id, ordering === "stream" && isBlocking(fault) ? { kind: "error" } : fault]),
  );
}

function outagesOf(random: Random): Outage[] {
  return times(int(random, 0, 2), () => {
    const from = int(random, 0, LOAD_MS - 1_000);
    const to = from + int(random, 50, LOAD_MS - from);
    return { from, to, kind: pick(random, ["unavailable", "retry", "throw", "hang"] as const) };
  });
}

function sinkFault(random: Random): SinkFault | undefined {
  const dice = random();
  if (dice < 0.06) return { kind: pick(random, ["error", "retry", "reject", "throw", "hang"] as const) };
  if (dice < 0.12) return { kind: "transient", times: int(random, 1, 2) };
  if (dice < 0.16) return { kind: "lost_answer" };
  return undefined;
}

function transformFault(random: Random): TransformFault | undefined {
  const dice = random();
  if (dice < 0.05) return { kind: "drop" };
  if (dice < 0.07) return { kind: pick(random, ["error", "throw", "retry"] as const) };
  if (dice < 0.1) return { kind: "transient", times: int(random, 1, 2) };
  return undefined;
}

function assign<T>(ids: readonly string[], random: Random, draw: () => T | undefined): Map<string, T> {
  const faults = new Map<string, T>();
  // A run without any fault is a case, too.
  if (random() < 0.1) return faults;
  for (const id of ids) {
    const fault = draw();
    if (fault !== undefined) faults.set(id, fault);
  }
  return faults;
}

/** A whole number from `min` to `max`, both included. */
function int(random: Random, min: number, max: number): number {
  return min + Math.floor(random() * (max - min + 1));
}

function pick<T>(random: Random, choices: readonly T[]): T {
  return choices[Math.floor(random() * choices.length)] as T;
}

function times<T>(count: number, make: (i: number) => T): T[] {
  return Array.from({ length: count }, (_, i) => make(i));
}
