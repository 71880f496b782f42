import { decodeEvent, encodeEvent, payloadOf } from "../core/canonical/codec.ts";
import {
  type CanonicalEvent,
  IDEMPOTENCY_KEY_PATTERN,
  NAME_PATTERN,
  TRACE_ID_PATTERN,
} from "../core/canonical/event.ts";
import { timestampFault } from "../core/canonical/timestamp.ts";
import type { Route, RouteDecision } from "../core/router/route.ts";
import type { TransformPlugin } from "../plugins/contract.ts";
import type { Calls } from "./call.ts";
import { growthFault } from "./growth.ts";
import type { PluginHost } from "./host.ts";
import type { Pace } from "./pace.ts";
import { codeText, errorCode, errorText, filterLabel, reasonText } from "./text.ts";

/** What the chain made of one event. */
export type Prepared =
  | { readonly type: "ok"; readonly event: CanonicalEvent; readonly size: number }
  | { readonly type: "filtered"; readonly reason: string }
  | {
      readonly type: "failed";
      readonly stage: string;
      readonly code: string;
      readonly reason: string;
      readonly retryable: boolean;
    };

export interface ChainInput {
  readonly bytes: Buffer;
  /** 1 on the first try. */
  readonly attempt: number;
}

/** What an event goes through between the log and one sink. */
export interface Stages {
  /** The tenant's transforms. */
  readonly shared: readonly PluginHost<TransformPlugin>[];
  /** Whether the sink gets what they made of the event; undefined: always. */
  readonly route: Route | undefined;
  /** The sink's own transforms. */
  readonly branch: readonly PluginHost<TransformPlugin>[];
}

/** Is told what happens on the way, for an explanation. */
export interface Trace {
  transformed(host: PluginHost<TransformPlugin>, step: Step): void;
  routed(decision: RouteDecision): void;
}

/** Decodes without any transform: the payload is not looked at. */
export function decodeOnly(bytes: Buffer): Prepared {
  try {
    return { type: "ok", event: decodeEvent(bytes), size: bytes.length };
  } catch (error) {
    return { type: "failed", stage: "decode", code: "undecodable", reason: errorText(error), retryable: false };
  }
}

/**
 * Runs events through the stages side by side, under one deadline for all of them. Never rejects; an
 * event that is not through at the deadline fails alone. Undefined where the call was aborted.
 */
export async function runChain(options: {
  readonly stages: Stages;
  readonly inputs: readonly ChainInput[];
  readonly calls: Calls;
  readonly timeoutMs: number;
  readonly pace: Pace;
  /** The job that the events come from. */
  readonly replayId?: string | undefined;
  readonly trace?: Trace | undefined;
}): Promise<(Prepared | undefined)[]> {
  const { stages, inputs, calls, timeoutMs, pace, replayId, trace } = options;
  const runs = inputs.map((input): Run => {
    return { input, stages, pace, replayId, trace, host: undefined, result: undefined };
  });
  const end = await calls.run(timeoutMs, (signal) => Promise.all(runs.map((run) => runOne(run, signal))));
  if (end.type === "aborted") return runs.map((run) => run.result);
  return runs.map((run) => run.result ?? late(run.host));
}

type Host = PluginHost<TransformPlugin>;

interface Run {
  readonly input: ChainInput;
  readonly stages: Stages;
  readonly pace: Pace;
  readonly replayId: string | undefined;
  readonly trace: Trace | undefined;
  /** The transform at work, or the last that was. */
  host: Host | undefined;
  result: Prepared | undefined;
}

async function runOne(run: Run, signal: AbortSignal): Promise<void> {
  const { shared, route, branch } = run.stages;
  let step: Step = decodeOnly(run.input.bytes);
  if (shared.length > 0) step = await runTransforms(run, shared, step, signal);
  if (route !== undefined && step.type === "ok") {
    while (run.pace.isSpent) await run.pace.rest();
    step = runRoute(run, route, step);
  }
  if (branch.length > 0) step = await runTransforms(run, branch, step, signal);
  if (signal.aborted) return;
  const { input, pace, host } = run;
  run.result = step.type === "ok" ? pace.timed(() => reencode(step.event, input.bytes, host)) : step;
}

async function runTransforms(run: Run, hosts: readonly Host[], from: Step, signal: AbortSignal): Promise<Step> {
  let step = from;
  for (const host of hosts) {
    if (step.type !== "ok" || signal.aborted) return step;
    run.host = host;
    // Side by side, so that all of them may be waiting for the same rest.
    while (run.pace.isSpent) await run.pace.rest();
    step = await applyOne(run, host, step.event, signal);
    run.trace?.transformed(host, step);
  }
  return step;
}

/** On the event as the transforms left it: it is neither written nor parsed again for that. */
function runRoute({ pace, trace }: Run, route: Route, step: Step & { readonly type: "ok" }): Step {
  const decision = pace.timed(() => route.decide(step.event));
  trace?.routed(decision);
  if (decision.type === "take") return step;
  if (decision.type === "skip") return { type: "filtered", reason: decision.reason };
  return { type: "failed", stage: "route", code: decision.code, reason: decision.detail, retryable: false };
}

/** An event on its way, or what ended it. */
export type Step = { readonly type: "ok"; readonly event: CanonicalEvent } | Exclude<Prepared, { type: "ok" }>;

async function applyOne(
  { input: { attempt }, replayId, pace }: Run,
  host: Host,
  event: CanonicalEvent,
  signal: AbortSignal,
): Promise<Step> {
  // Kept apart: a transform may change the event that it was given in place.
  const identity = {
    event_id: event.event_id,
    tenant_id: event.tenant_id,
    received_at: event.received_at,
    source: event.source,
  };
  try {
    const ctx = host.context({ attempt, signal, replayId });
    const outcome = await pace.timed(() => host.instance?.process(event, ctx));
    switch (outcome?.type) {
      case "ok":
        return checked(host, outcome.event, identity);
      case "drop":
        return { type: "filtered", reason: filterLabel(host.name, outcome.reason) };
      case "error":
        return failed(
          host,
          codeText((outcome as { code?: unknown }).code),
          reasonText(outcome.reason),
          Boolean(outcome.retryable),
        );
      default:
        return failed(host, "plugin_error", `${host.label} returned no outcome`, false);
    }
  } catch (error) {
    return failed(host, errorCode(error), `${host.label} threw: ${errorText(error)}`, false);
  }
}

type Identity = Pick<CanonicalEvent, "event_id" | "tenant_id" | "received_at" | "source">;

function checked(host: Host, event: CanonicalEvent, identity: Identity): Step {
  const fault = faultOf(event);
  if (fault !== undefined)
    return failed(host, "plugin_error", `${host.label} returned an invalid event: ${fault}`, false);
  const kept =
    event.event_id === identity.event_id &&
    event.tenant_id === identity.tenant_id &&
    event.received_at === identity.received_at &&
    event.source === identity.source;
  return { type: "ok", event: kept ? event : { ...event, ...identity } };
}

function faultOf(event: CanonicalEvent): string | undefined {
  if (typeof event !== "object" || event === null) return "not an object";
  if (typeof event.event_type !== "string" || !NAME_PATTERN.test(event.event_type)) return "event_type";
  if (typeof event.occurred_at !== "string" || timestampFault(event.occurred_at) !== undefined) return "occurred_at";
  if (!isOptional(event.trace_id, TRACE_ID_PATTERN)) return "trace_id";
  if (!isOptional(event.idempotency_key, IDEMPOTENCY_KEY_PATTERN)) return "idempotency_key";
  // An accessor is the codec's own, not read yet: looking at it here would parse the payload.
  const payload = Object.getOwnPropertyDescriptor(event, "payload");
  if (payload?.get !== undefined) return undefined;
  return isObject(event.payload) ? undefined : "payload";
}

function isOptional(value: unknown, pattern: RegExp): boolean {
  return value === undefined || (typeof value === "string" && pattern.test(value));
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * One serialisation after the chain, if anything was changed: the sink gets an event of plain data
 * whose payload it can pass on without another, and nothing that a transform still holds.
 */
function reencode(event: CanonicalEvent, accepted: Buffer, last: Host | undefined): Prepared {
  try {
    const bytes = encodeEvent(event);
    if (bytes === accepted) return { type: "ok", event, size: accepted.length };
    if (payloadOf(bytes)[0] !== OPENING_BRACE) return invalid(last, "payload");
    const fault = growthFault(accepted, bytes);
    if (fault !== undefined) return invalid(last, fault);
    return { type: "ok", event: decodeEvent(bytes), size: bytes.length };
  } catch (error) {
    return invalid(last, errorText(error));
  }
}

const OPENING_BRACE = 0x7b;

function invalid(host: Host | undefined, fault: string): Prepared {
  return host === undefined
    ? { type: "failed", stage: "decode", code: "undecodable", reason: fault, retryable: false }
    : failed(host, "plugin_error", `${host.label} returned an invalid event: ${fault}`, false);
}

function late(host: Host | undefined): Prepared {
  if (host === undefined)
    return { type: "failed", stage: "decode", code: "timeout", reason: "no result", retryable: true };
  return failed(host, "timeout", `${host.label} did not answer within its deadline`, true);
}

function failed(host: Host, code: string, reason: string, retryable: boolean): Prepared & { type: "failed" } {
  return { type: "failed", stage: host.stage, code, reason, retryable };
}
