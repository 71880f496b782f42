import type { Clock, Random } from "../../core/environment.ts";
import {
  BatchRejected,
  type CanonicalEvent,
  definePlugin,
  type PluginContext,
  type PluginDefinition,
  type SinkOutcome,
  type SinkPlugin,
  type TransformOutcome,
} from "../../plugins/contract.ts";
import type { SinkFault, SinkPlan, TenantPlan } from "./plan.ts";

/** One event of one call, and what was answered; `retry` also where nothing was. */
export interface Try {
  readonly call: number;
  readonly id: string;
  end: SinkOutcome["type"];
}

/** One target behind a sink: it outlives every crash of the worker, and remembers all that reached it. */
export class Target {
  readonly plan: SinkPlan;
  readonly #clock: Clock;
  readonly #random: Random;
  /** Event id → when it was first stored. Keyed, as a table with a primary key is. */
  readonly stored = new Map<string, number>();
  /** When each call began, and whether an outage was on. */
  readonly calls: { readonly at: number; readonly out: boolean }[] = [];
  /** Every try of every event, in order. */
  readonly tries: Try[] = [];
  /** Event id → how often it was answered with `ok`. */
  readonly taken = new Map<string, number>();
  readonly #failures = new Map<string, number>();

  constructor(options: { plan: SinkPlan; clock: Clock; random: Random }) {
    this.plan = options.plan;
    this.#clock = options.clock;
    this.#random = options.random;
  }

  /** Takes events as the plan has it. Throws where the plan says so; may never answer. */
  async take(events: readonly CanonicalEvent[], ctx: PluginContext): Promise<SinkOutcome[]> {
    const now = this.#clock.monotonic();
    const outage = this.plan.outages.find(({ from, to }) => from <= now && now < to);
    this.calls.push({ at: now, out: outage !== undefined });
    const tries = events.map(({ event_id: id }): Try => ({ call: this.calls.length, id, end: "retry" }));
    this.tries.push(...tries);
    await this.#clock.sleep(this.plan.latencyMs, ctx.signal);
    if (outage?.kind === "hang" || events.some((event) => this.#is(event, "hang"))) await this.#hang(ctx.signal);
    if (outage?.kind === "throw" || events.some((event) => this.#is(event, "throw")))
      throw new Error("the target broke");
    if (outage !== undefined) {
      return events.map(() => ({ type: "retry", reason: "out", unavailable: outage.kind === "unavailable" }));
    }
    if (events.length > 1 && events.some((event) => this.#is(event, "reject"))) {
      throw new BatchRejected("22000", "an event of the batch is bad");
    }
    let isOver = false;
    return events.map((event, i) => {
      if (isOver) return { type: "retry", reason: "behind another", untried: true };
      const outcome = this.#takeOne(event);
      (tries[i] as Try).end = outcome.type;
      isOver = this.plan.keepsOrder && outcome.type === "retry";
      return outcome;
    });
  }

  #is(event: CanonicalEvent, kind: SinkFault["kind"]): boolean {
    return this.plan.faults.get(event.event_id)?.kind === kind;
  }

  /** Half of what hangs ends with its signal, half never does. */
  async #hang(signal: AbortSignal): Promise<void> {
    const ends = this.#random() < 0.5;
    await new Promise<void>((resolve) => {
      if (ends) signal.addEventListener("abort", () => resolve(), { once: true });
    });
    throw new Error("cancelled");
  }

  #takeOne({ event_id: id }: CanonicalEvent): SinkOutcome {
    const fault = this.plan.faults.get(id);
    switch (fault?.kind) {
      case "error":
      case "reject":
        return { type: "error", reason: "bad event", code: "22000" };
      case "retry":
        return { type: "retry", reason: "not now" };
      case "transient":
        if (this.#failed(id, fault.times)) return { type: "retry", reason: "not yet" };
        break;
      case "lost_answer":
        if (this.#failed(id, 1)) {
          this.#store(id);
          return { type: "retry", reason: "the answer was lost" };
        }
    }
    this.#store(id);
    this.taken.set(id, (this.taken.get(id) ?? 0) + 1);
    return { type: "ok" };
  }

  #failed(id: string, timesMax: number): boolean {
    const failures = this.#failures.get(id) ?? 0;
    if (failures >= timesMax) return false;
    this.#failures.set(id, failures + 1);
    return true;
  }

  #store(id: string): void {
    if (!this.stored.has(id)) this.stored.set(id, this.#clock.monotonic());
  }
}

/** Everything outside of PulseGate: targets, and the plugins that reach them. */
export class World {
  readonly targets = new Map<string, Target>();
  readonly #transformFailures = new Map<string, number>();
  readonly #tenants = new Map<string, TenantPlan>();

  constructor(options: { tenants: readonly TenantPlan[]; clock: Clock; random: Random }) {
    const { tenants, clock, random } = options;
    for (const tenant of tenants) {
      this.#tenants.set(tenant.id, tenant);
      for (const plan of tenant.sinks) this.targets.set(`${tenant.id}/${plan.id}`, new Target({ plan, clock, random }));
    }
  }

  /** Plugins are named `sink TENANT/SINK` and `transform TENANT`. */
  findPlugin(name: string): PluginDefinition | undefined {
    const [kind, key = ""] = name.split(" ");
    const base = { name, version: "1.0.0", summary: "of the simulation" };
    if (kind === "transform") {
      return definePlugin({
        ...base,
        kind: "transform",
        create: () => ({ ...base, process: async (event) => this.#transform(key, event) }),
      });
    }
    const target = this.targets.get(key);
    if (target === undefined) return undefined;
    return definePlugin({ ...base, kind: "sink", create: () => sinkOn(target, base) });
  }

  #transform(tenantId: string, event: CanonicalEvent): TransformOutcome {
    const fault = this.#tenants.get(tenantId)?.transform.get(event.event_id);
    if (fault === undefined) return { type: "ok", event };
    if (fault.kind === "drop") return { type: "drop", reason: "unwanted" };
    if (fault.kind === "throw") throw new Error("the transform broke");
    if (fault.kind === "retry") return { type: "error", reason: "never", retryable: true };
    if (fault.kind !== "transient") return { type: "error", reason: "can't", retryable: false };
    const failures = this.#transformFailures.get(event.event_id) ?? 0;
    this.#transformFailures.set(event.event_id, failures + 1);
    return failures < fault.times ? { type: "error", reason: "not yet", retryable: true } : { type: "ok", event };
  }
}

function sinkOn(target: Target, { name, version }: { name: string; version: string }): SinkPlugin {
  const sink: SinkPlugin = {
    name,
    version,
    async send(event, ctx) {
      const [outcome] = await target.take([event], ctx);
      return outcome as SinkOutcome;
    },
  };
  if (target.plan.batches) sink.sendBatch = (events, ctx) => target.take(events, ctx);
  if (target.plan.keepsOrder) sink.keepsOrder = true;
  return sink;
}
