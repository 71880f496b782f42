import type { PluginDefinition, SinkDefinition } from "../contract.ts";
import { hideChannel } from "../loading/hide-channel.ts";
import { checkedDefinition } from "../loading/module.ts";
import { registerPluginHooks } from "../loading/hooks.ts";
import { findPlugin } from "../registry.ts";
import { fileTarget } from "../sink/file_sink/conformance.ts";
import { kafkaTarget } from "../sink/kafka_sink/conformance.ts";
import { postgresTarget } from "../sink/postgres_sink/conformance.ts";
import { webhookTarget } from "../sink/webhook_sink/conformance.ts";
import type { CheckRequest, CheckResult, Servers } from "./check-messages.ts";
import type { Check } from "./checks.ts";
import { type SinkTarget, sinkChecks } from "./sink.ts";
import { transformChecks } from "./transform.ts";

const CONNECT_TIMEOUT_MS = 15_000;

const send = hideChannel();
process.once("message", (request: CheckRequest) => {
  void check(request).then(send);
});

async function check({ plugin, configs, connections, servers }: CheckRequest): Promise<CheckResult[]> {
  const definition = await load(plugin);
  if (definition.kind === "transform") return await resultsOf(transformChecks({ definition, configs }));
  const target = "name" in plugin ? targetOf(plugin.name, servers) : undefined;
  const promises = await resultsOf(
    sinkChecks({ definition, target: typeof target === "function" ? target : undefined }),
  );
  const untried = typeof target === "string" ? [{ name: "keeps its promises on a real target", skipped: target }] : [];
  const reached = await resultsOf(connections.map((one) => connectionCheck(definition, one)));
  return [...promises, ...untried, ...reached];
}

/** What a built-in sink's promises are tried on, or why they can't be. A plugin of your own has tests beside it. */
function targetOf(name: string, { postgres, brokers }: Servers): (() => Promise<SinkTarget>) | string | undefined {
  switch (name) {
    case "file_sink":
      return fileTarget;
    case "webhook_sink":
      return webhookTarget;
    case "postgres_sink":
      if (postgres === undefined) return undefined;
      return "url" in postgres ? () => postgresTarget(postgres.url) : postgres.missing;
    case "kafka_sink":
      if (brokers === undefined || brokers === "") return "KAFKA_BROKERS names no broker to try it on";
      return () => kafkaTarget(brokers.split(",").map((one) => one.trim()));
    default:
      return undefined;
  }
}

async function resultsOf(checks: readonly Check[]): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  for (const { name, run } of checks)
    results.push(
      await run().then(
        (skipped) => ({ name, skipped }),
        (error: unknown) => ({ name, fault: faultOf(error) }),
      ),
    );
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
        if (sink.check === undefined) return "the sink has no check()";
        await sink.check(AbortSignal.timeout(CONNECT_TIMEOUT_MS));
        return undefined;
      } finally {
        await sink.close?.();
      }
    },
  };
}

function faultOf(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? `: ${messageOf(error.cause)}` : "";
  return `${messageOf(error)}${cause}`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}
