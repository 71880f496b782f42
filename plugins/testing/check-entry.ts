import type { PluginDefinition, SinkDefinition } from "../contract.ts";
import { hideChannel } from "../loading/hide-channel.ts";
import { checkedDefinition } from "../loading/module.ts";
import { registerPluginHooks } from "../loading/hooks.ts";
import { findPlugin } from "../registry.ts";
import type { CheckRequest, CheckResult } from "./check-messages.ts";
import type { Check } from "./checks.ts";
import { sinkChecks } from "./sink.ts";
import { transformChecks } from "./transform.ts";

const CONNECT_TIMEOUT_MS = 15_000;

const send = hideChannel();
process.once("message", (request: CheckRequest) => {
  void check(request).then(send);
});

async function check({ plugin, configs, connections }: CheckRequest): Promise<CheckResult[]> {
  const definition = await load(plugin);
  const checks =
    definition.kind === "transform"
      ? transformChecks({ definition, configs })
      : [...sinkChecks({ definition }), ...connections.map((one) => connectionCheck(definition, one))];
  const results: CheckResult[] = [];
  for (const one of checks) results.push({ name: one.name, fault: await faultOf(one) });
  return results;
}

async function load(plugin: CheckRequest["plugin"]): Promise<PluginDefinition> {
  if ("name" in plugin) return checkedDefinition(findPlugin(plugin.name));
  registerPluginHooks();
  return checkedDefinition(((await import(plugin.url)) as { default?: unknown }).default);
}

function connectionCheck(definition: SinkDefinition, { label, config }: CheckRequest["connections"][number]): Check {
  return {
    name: `reaches the target of ${label}`,
    async run() {
      const sink = definition.create();
      try {
        await sink.init?.(config);
        await sink.check?.(AbortSignal.timeout(CONNECT_TIMEOUT_MS));
      } finally {
        await sink.close?.();
      }
    },
  };
}

async function faultOf(check: Check): Promise<string | undefined> {
  try {
    await check.run();
    return undefined;
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? `: ${messageOf(error.cause)}` : "";
    return `${messageOf(error)}${cause}`;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}
