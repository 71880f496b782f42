import { PulseGateError } from "../core/canonical/errors.ts";
import type { JobSpec } from "../core/ingestion/jobs.ts";
import { mergedPreviews, type SinkPreview } from "../core/ingestion/preview.ts";
import type { SkipRequest } from "../workers/skip.ts";
import type { WorkerPool } from "../workers/pool.ts";
import { type Errand, type Errands, errorOf, valuesOf } from "./errands.ts";
import { previewJob, type PreviewParts } from "./preview.ts";
import { dutiesOf } from "./roles.ts";

/** What the admin API asks of whoever has the lanes. */
export interface LaneActions {
  /** As `WorkerPool.skip`. */
  skip(request: SkipRequest): Promise<void>;
  preview(spec: JobSpec, options: { readonly examplesMax: number }): Promise<SinkPreview[]>;
}

const SKIP_MS_MAX = 15_000;
const PREVIEW_MS_MAX = 120_000;
const of = (role: Parameters<typeof dutiesOf>[0]): boolean => dutiesOf(role).delivers;

/** The workers of this process. */
export function localActions(parts: PreviewParts & { readonly workers: Pick<WorkerPool, "skip"> }): LaneActions {
  return {
    skip: (request) => parts.workers.skip(request),
    preview: (spec, options) => previewJob(parts, spec, options),
  };
}

/** What another process asked of this one. */
export async function performed(actions: LaneActions, errand: Errand): Promise<unknown> {
  switch (errand.type) {
    case "skip":
      return actions.skip(errand.skip);
    case "preview":
      return actions.preview(errand.spec, errand);
    case "look":
      return undefined;
  }
}

/** The workers of all processes, each of which answers for the lanes that it has. */
export function askedWorkers(errands: Errands): LaneActions {
  return {
    async skip(skip) {
      const answers = await errands.ask({ errand: { type: "skip", skip }, of, withinMs: SKIP_MS_MAX });
      needAny(answers);
      if (answers.some((answer) => !("fault" in answer))) return;
      const faults = answers.flatMap((answer) => ("fault" in answer ? [answer.fault] : []));
      // Whoever does not have the lane says `overloaded`: what another says is the reason.
      throw errorOf(faults.find(({ code }) => code !== "overloaded") ?? (faults[0] as (typeof faults)[number]));
    },
    async preview(spec, { examplesMax }) {
      const errand = { type: "preview", spec, examplesMax } as const;
      const answers = await errands.ask({ errand, of, withinMs: PREVIEW_MS_MAX });
      needAny(answers);
      return mergedPreviews(valuesOf(answers).flat() as SinkPreview[], examplesMax);
    },
  };
}

function needAny(answers: readonly unknown[]): void {
  if (answers.length > 0) return;
  throw new PulseGateError("overloaded", "no worker answers just now: try again in a moment");
}
