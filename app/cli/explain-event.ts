import { randomFillSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { encodeParts, stampReceivedAt } from "../../core/canonical/codec.ts";
import { createIds } from "../../core/canonical/id.ts";
import { parseEvent } from "../../core/canonical/parse.ts";
import type { Limits, TenantConfig } from "../../core/ingestion/revision.ts";
import { systemClock } from "../../observability/system-clock.ts";
import { findPlugin } from "../../plugins/registry.ts";
import type { Change } from "../../workers/event-diff.ts";
import { type ExplainedSink, type ExplainedStep, explainEvent, type Explanation } from "../../workers/explain.ts";
import { Timers } from "../../workers/timers.ts";
import { EXIT, Failure } from "./failure.ts";
import { printJson, printLine, printNote } from "./print.ts";

export interface ExplainEventOptions {
  readonly tenants: readonly TenantConfig[];
  readonly limits: Limits;
  readonly tenant?: string;
  readonly json?: boolean;
}

/** `config explain --event`: what each transform does to an event, and which sinks get it and why. No sink is called. */
export async function explainEventFile(file: string, options: ExplainEventOptions): Promise<void> {
  const text = readEvent(file);
  const tenant = tenantOf(text, options);
  const bytes = isCanonical(text) ? text : canonical(text, { file, tenant, limits: options.limits });
  const explanation = await explained(tenant, bytes);
  if (options.json === true) printJson(explanation);
  else printLine(textOf(explanation).join("\n"));
}

function readEvent(file: string): Buffer {
  try {
    const bytes = readFileSync(file === "-" ? 0 : file);
    return bytes.subarray(0, bytes.toString("latin1").trimEnd().length);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Failure(`the event can't be read from ${file}`, { why, next: "give --event a file with one event" });
  }
}

/** A line as file_sink and the log write it, in PulseGate's own member order. */
function isCanonical(text: Buffer): boolean {
  return text.toString("latin1", 0, 16) === '{"received_at":"' && text.includes(',"payload":{');
}

function tenantOf(text: Buffer, { tenants, tenant: asked }: ExplainEventOptions): TenantConfig {
  const own = isCanonical(text) ? /"tenant_id":"([^"]+)"/.exec(text.toString("latin1", 0, 2_000))?.[1] : undefined;
  const id = asked ?? own ?? (tenants.length === 1 ? tenants[0]?.id : undefined);
  const found = tenants.find((tenant) => tenant.id === id);
  if (found !== undefined) return found;
  const known =
    tenants.length === 0 ? "the configuration has none" : `there are ${tenants.map((one) => one.id).join(", ")}`;
  throw new Failure(id === undefined ? "whose event is it?" : `there is no tenant ${id}`, {
    exitCode: EXIT.usage,
    why: known,
    next: "give --tenant one of the configuration's",
  });
}

function canonical(
  text: Buffer,
  of: { readonly file: string; readonly tenant: TenantConfig; readonly limits: Limits },
): Buffer {
  const ids = createIds({ clock: systemClock, randomFill: (bytes) => void randomFillSync(bytes) });
  const context = { tenantId: of.tenant.id, source: "http" as const, eventBytesMax: of.limits.eventBytesMax, ids };
  const parsed = parseEvent(text, context);
  if (!parsed.ok) {
    const why = parsed.violations.map(({ pointer, detail }) => (pointer === "" ? detail : `${pointer}: ${detail}`));
    throw new Failure(`${of.file} is no event that PulseGate takes`, {
      why: why.join("; "),
      next: "mend it; docs/http.md shows the two forms",
    });
  }
  const bytes = encodeParts(parsed.parts);
  stampReceivedAt(bytes, systemClock.now());
  return bytes;
}

async function explained(tenant: TenantConfig, bytes: Buffer): Promise<Explanation> {
  const timers = new Timers(systemClock);
  const nothing = () => undefined;
  const note = (fields: Readonly<Record<string, unknown>>, message: string) =>
    printNote(`${String(fields["plugin"])}: ${message}`);
  const logger = { debug: nothing, info: nothing, warn: note, error: nothing };
  const pluginMetrics = () => ({ count: nothing, observe: nothing });
  const deps = { timers, random: Math.random, logger, pluginMetrics, flights: undefined, findPlugin };
  try {
    return await explainEvent({ deps, tenant, bytes });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Failure("the event can't be explained", { why, next: "mend the plugin's options or what it needs" });
  } finally {
    timers.close();
  }
}

function textOf({ event, transforms, sinks }: Explanation): string[] {
  return [
    `${event.event_type}  ${event.event_id}  of ${event.tenant_id}`,
    ...(transforms.length === 0 ? [] : ["", "transforms", ...transforms.flatMap((step) => stepLines(step, "  "))]),
    "",
    sinks.length === 0 ? "no sinks: the event is kept in the log alone" : "sinks",
    ...sinks.flatMap(sinkLines),
  ];
}

function stepLines({ plugin, version, outcome, reason, changes }: ExplainedStep, indent: string): string[] {
  const word = { ok: changes.length === 0 ? "no change" : "changed", dropped: "drops the event", failed: "fails" }[
    outcome
  ];
  const head = `${indent}${plugin} ${version}: ${word}${reason === undefined ? "" : `, ${reason}`}`;
  return [head, ...changes.map((change) => `${indent}  ${changeText(change)}`)];
}

function changeText({ path, before, after }: Change): string {
  if (before === undefined) return `+ ${path}  ${JSON.stringify(after)}`;
  if (after === undefined) return `- ${path}  ${JSON.stringify(before)}`;
  return `~ ${path}  ${JSON.stringify(before)} → ${JSON.stringify(after)}`;
}

function sinkLines({ id, plugin, outcome, reason, why, transforms }: ExplainedSink): string[] {
  const word = { delivered: "gets it", filtered: "does not get it", failed: "fails" }[outcome];
  const name = id === plugin ? id : `${id} (${plugin})`;
  return [
    `  ${name}: ${word}${reason === undefined ? "" : `, ${reason}`}`,
    `    ${why.replaceAll("\n", "\n    ")}`,
    ...transforms.flatMap((step) => stepLines(step, "    ")),
  ];
}
