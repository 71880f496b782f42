import { PulseGateError } from "../core/canonical/errors.ts";
import type { PluginUse, SinkUse } from "../core/ingestion/revision.ts";
import type { SinkDefinition, TransformDefinition } from "../plugins/contract.ts";
import type { PluginDeps } from "./deps.ts";
import { guardedDefinition } from "./isolation/guarded.ts";

/** The transform that a place in the configuration names. Throws if there is none. */
export function transformOf(deps: PluginDeps, tenantId: string, use: PluginUse): TransformDefinition {
  const builtIn = use.module === undefined ? deps.findPlugin(use.name) : undefined;
  const isGuarded = use.module !== undefined || use.isolation !== undefined;
  if (isGuarded && (use.module !== undefined || builtIn?.kind === "transform"))
    return guardedDefinition({ deps, tenantId, use, kind: "transform", builtIn });
  if (builtIn?.kind === "transform") return builtIn;
  throw new PulseGateError("internal", `There is no transform named ${use.name}`);
}

/** The same for a sink. */
export function sinkOf(deps: PluginDeps, tenantId: string, use: SinkUse): SinkDefinition {
  const builtIn = use.module === undefined ? deps.findPlugin(use.name) : undefined;
  const isGuarded = use.module !== undefined || use.isolation !== undefined;
  if (isGuarded && (use.module !== undefined || builtIn?.kind === "sink"))
    return guardedDefinition({ deps, tenantId, sink: use.id, use, kind: "sink", builtIn });
  if (builtIn?.kind === "sink") return builtIn;
  throw new PulseGateError("internal", `There is no sink named ${use.name}`);
}
