import { PulseGateError } from "../core/canonical/errors.ts";
import type { Revision } from "../core/ingestion/revision.ts";
import { findPlugin } from "../plugins/registry.ts";

export interface SinkPlace {
  readonly tenantId: string;
  readonly sink: string;
}

/** Tests a sink's connection with an instance of its own; rejects with the reason. */
export async function checkSink(
  { tenants }: Revision,
  { tenantId, sink }: SinkPlace,
  signal: AbortSignal,
): Promise<void> {
  const use = tenants.find(({ id }) => id === tenantId)?.sinks.find(({ id }) => id === sink);
  if (use?.module !== undefined) {
    throw new PulseGateError("conflict", `${use.name} is a plugin of your own: \`pulsegate plugins check\` tries it`);
  }
  const definition = use === undefined ? undefined : findPlugin(use.name);
  if (definition?.kind !== "sink") throw new PulseGateError("not_found", `tenant ${tenantId} has no sink ${sink}`);
  const instance = definition.create();
  try {
    await instance.init?.(use?.config);
    await orAborted(instance.check?.(signal), signal);
  } finally {
    await instance.close?.();
  }
}

/** A plugin may not heed its signal. */
async function orAborted(check: Promise<void> | undefined, signal: AbortSignal): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(new Error("no answer in time"));
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await Promise.race([check, promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
