import { createHash } from "node:crypto";
import type { RevisionDraft } from "../config/revision.ts";
import { PulseGateError } from "../core/canonical/errors.ts";
import type { ControlStore, LaneStore } from "../core/ingestion/log.ts";
import type { Revision } from "../core/ingestion/revision.ts";

type RevisionStore = Pick<LaneStore, "lanes" | "openLane"> & { readonly control: ControlStore };

/**
 * Makes a configuration the log's newest revision: numbers it and opens the lanes that it needs.
 * The caller lets the door use it only after this, so that no event is accepted for a sink whose
 * lane would begin behind it.
 */
export async function adoptRevision(log: RevisionStore, draft: RevisionDraft): Promise<Revision> {
  await refuseFewerPartitions(log, draft);
  const revision = await numberRevision(log.control, draft);
  await Promise.all(lanesOf(revision).map((lane) => log.openLane(lane, "tail")));
  return revision;
}

function lanesOf(revision: Revision): Array<{ stream: { tenantId: string; partition: number }; sink: string }> {
  return revision.tenants.flatMap((tenant) =>
    Array.from({ length: tenant.partitions }, (_, partition) => ({ tenantId: tenant.id, partition })).flatMap(
      (stream) => tenant.sinks.map((sink) => ({ stream, sink: sink.id })),
    ),
  );
}

/** Events may still wait in a partition that the new number would leave without a lane. */
async function refuseFewerPartitions(log: RevisionStore, draft: RevisionDraft): Promise<void> {
  const partitions = new Map(draft.tenants.map((tenant) => [tenant.id, tenant.partitions]));
  for (const { lane } of await log.lanes()) {
    const { tenantId, partition } = lane.stream;
    const configured = partitions.get(tenantId);
    if (configured === undefined || partition < configured) continue;
    throw new PulseGateError(
      "malformed_request",
      `tenant ${tenantId} has events in partition ${partition}: partitions can be raised, never lowered (at least ${partition + 1} are needed)`,
    );
  }
}

const KEY = "config/revision";

interface Stored {
  readonly number: number;
  /** SHA-256 of the configuration's data: nothing of it, secrets least of all, is kept. */
  readonly digest: string;
}

/** The number that this configuration had when it is the same as the newest, else the next. */
async function numberRevision(control: ControlStore, draft: RevisionDraft): Promise<Revision> {
  const digest = createHash("sha256").update(JSON.stringify(draft)).digest("hex");
  const current = await control.get(KEY);
  const stored = current?.value as Stored | undefined;
  if (stored?.digest === digest) return { ...draft, number: stored.number };
  const next: Stored = { number: (stored?.number ?? 0) + 1, digest };
  await control.put(KEY, next, current?.version ?? 0);
  return { ...draft, number: next.number };
}
