import { describe } from "vitest";
import { appendConformance } from "./log-append.ts";
import { dedupConformance } from "./log-dedup.ts";
import { dropConformance } from "./log-drops.ts";
import { jobConformance } from "./log-jobs.ts";
import { laneConformance } from "./log-lanes.ts";
import { letterKindConformance } from "./log-letter-kinds.ts";
import { deadLetterConformance } from "./log-letters.ts";
import { modelConformance } from "./log-model.ts";
import { readConformance } from "./log-read.ts";
import { retentionConformance } from "./log-retention.ts";
import type { LogUnderTest } from "./log-under-test.ts";

/**
 * Holds a driver to `core/ingestion/log.ts`: every promise of its docstrings is one test here.
 * `open` gives an empty log each time. Nothing is assumed of where or how the driver stores.
 */
export function logConformance(name: string, open: () => Promise<LogUnderTest>): void {
  describe(`log conformance: ${name}`, () => {
    appendConformance(open);
    dedupConformance(open);
    readConformance(open);
    laneConformance(open);
    dropConformance(open);
    deadLetterConformance(open);
    letterKindConformance(open);
    jobConformance(open);
    retentionConformance(open);
    modelConformance(open);
  });
}
