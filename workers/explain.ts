import { decodeEvent, encodeEvent } from "../core/canonical/codec.ts";
import type { CanonicalEvent } from "../core/canonical/event.ts";
import type { PluginUse, RouteRule, SinkUse, TenantConfig } from "../core/ingestion/revision.ts";
import { compileRoute, type RouteDecision } from "../core/router/route.ts";
import { Calls } from "./call.ts";
import { type Prepared, runChain, type Stages, type Step } from "./chain.ts";
import { transformOf } from "./definitions.ts";
import type { PluginDeps } from "./deps.ts";
import { type Change, changesBetween } from "./event-diff.ts";
import { Pace } from "./pace.ts";
import { Chain, untilReady } from "./transforms.ts";

/** What would become of an event, told step by step. */
export interface Explanation {
  readonly event: CanonicalEvent;
  /** The tenant's transforms, up to the one that ended the event. */
  readonly transforms: readonly ExplainedStep[];
  readonly sinks: readonly ExplainedSink[];
}

export interface ExplainedStep {
  readonly plugin: string;
  readonly version: string;
  readonly outcome: "ok" | "dropped" | "failed";
  readonly reason?: string;
  readonly changes: readonly Change[];
}

export interface ExplainedSink {
  readonly id: string;
  readonly plugin: string;
  readonly outcome: "delivered" | "filtered" | "failed";
  /** As the ledger or the dead letter has it. */
  readonly reason?: string;
  /** Why it is so, in words. */
  readonly why: string;
  /** The sink's own transforms. */
  readonly transforms: readonly ExplainedStep[];
  /** What the sink is given. */
  readonly event?: CanonicalEvent;
}

export interface ExplainOptions {
  readonly deps: PluginDeps;
  readonly tenant: TenantConfig;
  /** Canonical. */
  readonly bytes: Buffer;
}

const CLOSE_MS = 5_000;

/**
 * Takes an event through the tenant's transforms and each sink's route and own transforms, by the code
 * that the lanes run. No sink is started. Rejects when a transform does not start, with its reason.
 */
export async function explainEvent({ deps, tenant, bytes }: ExplainOptions): Promise<Explanation> {
  const chains: Chain[] = [];
  const start = async (uses: readonly PluginUse[]): Promise<Chain> => {
    const definitions = uses.map((use) => ({ use, definition: transformOf(deps, tenant.id, use) }));
    const chain = new Chain({ deps, tenantId: tenant.id, uses: definitions });
    chains.push(chain);
    chain.start();
    await untilReady(chain, deps);
    return chain;
  };
  try {
    const shared = (await start(tenant.transforms)).transforms;
    const first = await run({ deps, bytes }, { shared, route: undefined, branch: [] });
    const sinks: ExplainedSink[] = [];
    for (const sink of tenant.sinks) {
      const branch = (await start(sink.transforms ?? [])).transforms;
      const stages = { shared, route: compileRoute(tenant.sinks, sink.id), branch };
      sinks.push(explainedSink(sink, await run({ deps, bytes }, stages, sink.retry.timeoutMs)));
    }
    return { event: decodeEvent(bytes), transforms: first.steps, sinks };
  } finally {
    await Promise.all(chains.map((chain) => chain.close(CLOSE_MS)));
  }
}

interface Ran {
  readonly prepared: Prepared;
  readonly decision: RouteDecision | undefined;
  readonly steps: readonly ExplainedStep[];
  /** Of the steps, those before the route. */
  readonly sharedSteps: number;
}

const TIMEOUT_MS = 30_000;

async function run(
  { deps, bytes }: Pick<ExplainOptions, "deps" | "bytes">,
  stages: Stages,
  timeoutMs = TIMEOUT_MS,
): Promise<Ran> {
  const steps: ExplainedStep[] = [];
  let decision: RouteDecision | undefined;
  let before = bytes;
  const trace = {
    routed: (decided: RouteDecision) => (decision = decided),
    transformed: ({ name, version }: Stages["shared"][number], step: Step) => {
      const after = snapshot(step) ?? before;
      steps.push({ plugin: name, version, ...outcomeOf(step), changes: changes(before, after) });
      before = after;
    },
  };
  const [prepared] = await runChain({
    ...{ stages, inputs: [{ bytes, attempt: 1 }], timeoutMs, trace },
    ...{ calls: new Calls(deps.timers), pace: new Pace(deps.timers.clock) },
  });
  if (prepared === undefined) throw new Error("the explanation was cut off");
  return { prepared, decision, steps, sharedSteps: stages.shared.length };
}

/** The event as bytes; undefined when there is none any more, or none that can be written. */
function snapshot(step: Step): Buffer | undefined {
  if (step.type !== "ok") return undefined;
  try {
    return encodeEvent(step.event);
  } catch {
    return undefined;
  }
}

function changes(before: Buffer, after: Buffer): Change[] {
  return before === after ? [] : changesBetween(plain(before), plain(after));
}

function plain(bytes: Buffer): CanonicalEvent {
  return { ...decodeEvent(bytes) };
}

function outcomeOf(step: Step): Pick<ExplainedStep, "outcome" | "reason"> {
  if (step.type === "ok") return { outcome: "ok" };
  return { outcome: step.type === "filtered" ? "dropped" : "failed", reason: step.reason };
}

function explainedSink({ id, name, route }: SinkUse, { prepared, decision, steps, sharedSteps }: Ran): ExplainedSink {
  const base = { id, plugin: name, transforms: steps.slice(sharedSteps) };
  if (prepared.type === "ok") {
    const why = route === undefined ? "it takes every event" : passed(route);
    return { ...base, outcome: "delivered", why, event: plain(encodeEvent(prepared.event)) };
  }
  if (prepared.type === "filtered") {
    const why = decision?.type === "skip" ? decision.detail : "a transform dropped the event";
    return { ...base, outcome: "filtered", reason: prepared.reason, why };
  }
  const next = prepared.retryable ? "it would be tried again, then be a dead letter" : "it would be a dead letter";
  return {
    ...base,
    outcome: "failed",
    reason: `${prepared.stage}: ${prepared.code}`,
    why: `${prepared.reason}; ${next}`,
  };
}

function passed({ include, exclude, sampleShare, when, fallback }: RouteRule): string {
  const rules = [
    include && "include names its event type",
    exclude && "exclude does not",
    sampleShare !== undefined && `it is among the sample of ${sampleShare * 100}%`,
    when !== undefined && `true: ${when.trim()}`,
    fallback === true && "no other sink takes it",
  ];
  return rules.filter((rule) => typeof rule === "string").join("; ");
}
