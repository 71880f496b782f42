import type { Random } from "../../core/environment.ts";
import type { PluginUse } from "../../core/ingestion/revision.ts";
import type { PluginDefinition, PluginMetrics, SinkDefinition, TransformDefinition } from "../../plugins/contract.ts";
import type { Logger } from "../../core/environment.ts";
import { loadPluginAt } from "../../plugins/loading/module.ts";
import { boundLogger } from "../bound-logger.ts";
import type { Timers } from "../timers.ts";
import { type GuardOptions, GuardedTransform } from "./guarded-transform.ts";
import { GuardedSink } from "./guarded-sink.ts";
import { InThread } from "./in-thread.ts";
import { Isolate } from "./isolate.ts";
import type { Runner } from "./runner.ts";
import { type FlightRecord, Suspects } from "./suspects.ts";

export interface GuardDeps {
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
  readonly pluginMetrics: (plugin: string) => PluginMetrics;
  readonly flights: ((key: string) => FlightRecord) | undefined;
}

export interface GuardedUse {
  readonly deps: GuardDeps;
  readonly tenantId: string;
  /** A sink's lane; absent for a transform. */
  readonly sink?: string | undefined;
  readonly use: PluginUse;
  readonly kind: "transform" | "sink";
  /** Of a built-in plugin. */
  readonly builtIn?: PluginDefinition | undefined;
}

/** The definition of a plugin that is not built in, or that is to run apart: to the lanes it looks like any other. */
export function guardedDefinition(guarded: GuardedUse & { readonly kind: "transform" }): TransformDefinition;
export function guardedDefinition(guarded: GuardedUse & { readonly kind: "sink" }): SinkDefinition;
export function guardedDefinition(guarded: GuardedUse): TransformDefinition | SinkDefinition {
  const { use, kind, builtIn } = guarded;
  const version = use.module?.version ?? builtIn?.version ?? "";
  const base = { name: use.name, version, summary: "" };
  if (kind === "sink") return { ...base, kind, create: () => new GuardedSink(guardOptions(guarded, version)) };
  return { ...base, kind, create: () => new GuardedTransform(guardOptions(guarded, version)) };
}

function guardOptions(guarded: GuardedUse, version: string): GuardOptions {
  const { deps, tenantId, sink, use, kind } = guarded;
  const { timers, random } = deps;
  const logger = boundLogger(deps.logger, {
    tenant_id: tenantId,
    plugin: use.name,
    ...(sink === undefined ? {} : { sink }),
  });
  const key = JSON.stringify([tenantId, kind, sink ?? use.name, sink === undefined ? use.config : undefined]);
  return {
    name: use.name,
    version,
    timers,
    random,
    logger,
    suspects: new Suspects(deps.flights?.(key)),
    make: () => runnerOf(guarded, version, logger),
  };
}

function runnerOf({ deps, tenantId, use, kind }: GuardedUse, version: string, logger: Logger): Runner {
  const { name, module, isolation } = use;
  if (isolation !== undefined) {
    const { deadlineMs } = isolation;
    return new Isolate({
      assignment: { kind, name, version, module, tenantId, deadlineMs },
      isolation,
      timers: deps.timers,
      context: { logger, metrics: deps.pluginMetrics(name) },
    });
  }
  if (module === undefined) throw new Error(`${name} needs no guard`);
  return new InThread(() => loadPluginAt(module.url, module.digest));
}
