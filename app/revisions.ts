import { createHash } from "node:crypto";
import type { RevisionDraft } from "../config/revision.ts";
import { isErrorCode, PulseGateError } from "../core/canonical/errors.ts";
import { updateDocument } from "../core/ingestion/control.ts";
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
  const { revision } = await numbered(log, draft);
  await openLanes(log, revision);
  return revision;
}

async function openLanes(log: RevisionStore, revision: Revision): Promise<void> {
  await Promise.all(lanesOf(revision).map((lane) => log.openLane(lane, "tail")));
}

export interface SwapOptions {
  readonly log: RevisionStore;
  readonly draft: RevisionDraft;
  /** What runs now, and goes on if the new one is refused. */
  readonly running: Revision;
  readonly workers: { apply(revision: Revision): Promise<void> };
  /** The log's newest revision must have this number: rejects with `precondition_failed` otherwise. */
  readonly expected?: number | undefined;
}

/**
 * Makes a configuration the log's newest revision and the one that the workers run. When it can't be taken
 * this rejects with the reason, and it is as if it had never been tried: the workers run the old one, no
 * lane of the new one is left, and its number is free.
 */
export async function swapRevision(options: SwapOptions): Promise<Revision> {
  const { log, draft, running, workers, expected } = options;
  const known = new Set((await log.lanes()).map(({ lane }) => laneKey(lane)));
  // What is refused here has changed nothing yet: another process may be the one that was quicker.
  const { revision, before } = await numbered(log, draft, expected);
  try {
    await openLanes(log, revision);
    await workers.apply(revision);
    return revision;
  } catch (error) {
    // In this order: a lane can be dropped once nobody works on it.
    await workers.apply(running);
    // Once another process has gone on from here, the lanes are its lanes as well.
    const isOurs = before !== undefined && (await restoreNumber(log.control, { before, own: revision.number }));
    if (isOurs) for (const lane of lanesOf(draft)) if (!known.has(laneKey(lane))) await log.dropLane(lane);
    throw error;
  }
}

/** Whether the number was still this process's to give back. */
async function restoreNumber(
  control: ControlStore,
  { before, own }: { readonly before: Stored; readonly own: number },
): Promise<boolean> {
  const current = await control.get(KEY);
  if ((current?.value as Stored | undefined)?.number !== own) return false;
  try {
    await control.put(KEY, before, current?.version ?? 0);
    return true;
  } catch (error) {
    if (isErrorCode(error, "version_conflict")) return false;
    throw error;
  }
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

interface Numbered {
  readonly revision: Revision;
  /** What was the newest; undefined when there was none, or when it was this configuration. */
  readonly before: Stored | undefined;
}

/** The number that this configuration had when it is the same as the newest, else the next; of the whole log, whoever asks. */
async function numbered(log: RevisionStore, draft: RevisionDraft, expected?: number): Promise<Numbered> {
  await refuseFewerPartitions(log, draft);
  const digest = createHash("sha256").update(JSON.stringify(draft)).digest("hex");
  let before: Stored | undefined;
  const { value } = await updateDocument<Stored>(log.control, KEY, {
    change: (newest) => {
      if (expected !== undefined && newest?.number !== expected)
        throw new PulseGateError("precondition_failed", `revision ${newest?.number} is the newest, not ${expected}`);
      before = newest;
      return newest?.digest === digest ? newest : { number: (newest?.number ?? 0) + 1, digest };
    },
  });
  return { revision: { ...draft, number: value.number }, before: value.number === before?.number ? undefined : before };
}
