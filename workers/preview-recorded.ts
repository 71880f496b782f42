import type { LaneId, LaneStore } from "../core/ingestion/log.ts";
import type { TenantConfig } from "../core/ingestion/revision.ts";

/** How an event came out of transforms and routes: what the sink then made of it is another matter. */
export type ChainOutcome =
  | { readonly type: "passed" }
  | { readonly type: "filtered"; readonly reason: string }
  | { readonly type: "failed"; readonly stage: string; readonly code: string };

export interface Recorded {
  readonly outcome: ChainOutcome;
  readonly revision: number;
  /** It reached its sink. */
  readonly wasDelivered: boolean;
}

/** What a lane's settlements say of an event; undefined when they say too little to compare with. */
export async function recordedOf(
  store: Pick<LaneStore, "settlement" | "deadLetter" | "amendment">,
  lane: LaneId,
  sequence: number,
): Promise<Recorded | undefined> {
  const settlement = await store.settlement(lane, sequence);
  if (settlement === undefined) return undefined;
  const revision = settlement.configRevision;
  const exception = settlement.exceptions.find(({ from, to }) => from <= sequence && sequence < to);
  if (exception === undefined) return { outcome: { type: "passed" }, revision, wasDelivered: true };
  if (exception.outcome === "erased") return undefined;
  if (exception.outcome === "filtered")
    return { outcome: { type: "filtered", reason: exception.reason }, revision, wasDelivered: false };
  const letter = await store.deadLetter(lane, sequence);
  if (letter !== undefined) {
    const { stage, code, configRevision } = letter;
    const outcome: ChainOutcome = stage.startsWith("sink ") ? { type: "passed" } : { type: "failed", stage, code };
    return { outcome, revision: configRevision, wasDelivered: false };
  }
  const amendment = await store.amendment(lane, sequence);
  if (amendment?.outcome.type !== "delivered" || amendment.configRevision === undefined) return undefined;
  return { outcome: { type: "passed" }, revision: amendment.configRevision, wasDelivered: true };
}

/** Equal for configurations that bring an event to a sink in the same way. */
export function pipelineOf(tenant: TenantConfig, sinkId: string): string | undefined {
  const sink = tenant.sinks.find(({ id }) => id === sinkId);
  if (sink === undefined) return undefined;
  // Whether a fallback takes an event depends on its siblings.
  const siblings = sink.route?.fallback === true ? tenant.sinks.map(({ id, route }) => [id, route]) : [];
  return JSON.stringify([tenant.transforms, sink.route, sink.transforms ?? [], siblings]);
}
