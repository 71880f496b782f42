import { createHash } from "node:crypto";
import type { RevisionDraft } from "../config/revision.ts";
import { PulseGateError } from "../core/canonical/errors.ts";
import { laneKey } from "../core/ingestion/log.ts";
import type { ControlStore, LaneId, LaneStore } from "../core/ingestion/log.ts";
import type { Revision } from "../core/ingestion/revision.ts";

type RevisionStore = Pick<LaneStore, "lanes" | "openLane" | "dropLane"> & { readonly control: ControlStore };

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

export interface SwapOptions {
  readonly log: RevisionStore;
  readonly draft: RevisionDraft;
  /** What runs now, and goes on if the new one is refused. */
  readonly running: Revision;
  readonly workers: { apply(revision: Revision): Promise<void> };
}

/**
 * Makes a configuration the log's newest revision and the one that the workers run. When it can't be taken
 * this rejects with the reason, and it is as if it had never been tried: the workers run the old one, no
 * lane of the new one is left, and its number is free.
 */
export async function swapRevision({ log, draft, running, workers }: SwapOptions): Promise<Revision> {
  const known = new Set((await log.lanes()).map(({ lane }) => laneKey(lane)));
  const before = await log.control.get(KEY);
  try {
    const next = await adoptRevision(log, draft);
    await workers.apply(next);
    return next;
  } catch (error) {
    // In this order: a lane can be dropped once nobody works on it.
    await workers.apply(running);
    for (const lane of lanesOf(draft)) if (!known.has(laneKey(lane))) await log.dropLane(lane);
    await restoreNumber(log.control, before?.value);
    throw error;
  }
}

async function restoreNumber(control: ControlStore, value: unknown): Promise<void> {
  const current = await control.get(KEY);
  const isChanged = (current?.value as Stored | undefined)?.digest !== (value as Stored | undefined)?.digest;
  if (isChanged) await control.put(KEY, value, current?.version ?? 0);
}

/** The lanes that a configuration needs. */
export function lanesOf(revision: RevisionDraft): LaneId[] {
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
