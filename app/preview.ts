import type { JobControl } from "../core/ingestion/job-control.ts";
import type { JobLane, JobSpec } from "../core/ingestion/jobs.ts";
import type { LaneStore } from "../core/ingestion/log.ts";
import type { PreviewRequest, SinkPreview } from "../core/ingestion/preview.ts";
import type { TenantConfig } from "../core/ingestion/revision.ts";

export interface PreviewParts {
  readonly jobs: Pick<JobControl, "plan">;
  readonly log: Pick<LaneStore, "settlement">;
  readonly workers: { preview(request: PreviewRequest): Promise<SinkPreview[]> };
  /** A tenant as a revision had it; undefined when that is not known any more. */
  readonly tenantAt: (revision: number, tenantId: string) => Promise<TenantConfig | undefined>;
}

/** Selected events of one sink that a preview looks at. */
const EVENTS_MAX = 100_000;
/** Settlements looked at to learn which revisions there were. */
const SETTLEMENTS_MAX = 20_000;
/** Earlier revisions that are made to run beside today's. */
const REVISIONS_MAX = 20;

/** What the job would change, sink by sink, against what was recorded; makes no job and delivers nothing. */
export async function previewJob(
  parts: PreviewParts,
  spec: JobSpec,
  options: { readonly examplesMax: number },
): Promise<SinkPreview[]> {
  const { lanes } = await parts.jobs.plan(spec);
  const earlier: Array<PreviewRequest["earlier"][number]> = [];
  for (const revision of await revisionsOf(parts.log, lanes)) {
    const tenant = await parts.tenantAt(revision, spec.tenantId);
    if (tenant !== undefined) earlier.push({ revision, tenant });
  }
  const { tenantId, selection } = spec;
  const { examplesMax } = options;
  return parts.workers.preview({ tenantId, lanes, selection, eventsMax: EVENTS_MAX, examplesMax, earlier });
}

/** Those that the lanes were settled by, the newest first. */
async function revisionsOf(log: PreviewParts["log"], lanes: readonly JobLane[]): Promise<number[]> {
  const revisions = new Set<number>();
  let left = SETTLEMENTS_MAX;
  for (const { lane, of, from, to } of lanes) {
    const { stream, sink } = lane;
    for (let at = from; at < to && left > 0; left--) {
      const settlement = await log.settlement(of ?? { stream, sink }, at);
      if (settlement === undefined) break;
      revisions.add(settlement.configRevision);
      at = settlement.to;
    }
  }
  return [...revisions].sort((a, b) => b - a).slice(0, REVISIONS_MAX);
}
