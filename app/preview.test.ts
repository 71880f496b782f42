import { expect, test } from "vitest";
import type { Settlement } from "../core/ingestion/log.ts";
import type { PreviewRequest } from "../core/ingestion/preview.ts";
import { lane, sinkUse, tenant } from "../tests/helpers/worker-bench.ts";
import { type PreviewParts, previewJob } from "./preview.ts";

const LANE = lane("a", "raw");
const SPEC = { kind: "replay", tenantId: "a", selection: { eventTypes: ["x"] }, rate: { idleShare: 1 } } as const;

test("the workers are asked with the configurations of the revisions that the events were settled by", async () => {
  const settlements: Settlement[] = [3, 3, 5, 9].map((configRevision, i) => {
    return { from: i * 10, to: i * 10 + 10, exceptions: [], configRevision, settledAt: 0 };
  });
  const asked: PreviewRequest[] = [];
  const lanes = [{ lane: { ...LANE, job: "replay-1" }, from: 5, to: 40 }];
  const parts: PreviewParts = {
    jobs: { plan: async () => ({ lanes, events: 35, isEstimate: true }) },
    log: {
      settlement: async (of, sequence) => {
        expect(of).toEqual(LANE);
        return settlements.find(({ from, to }) => from <= sequence && sequence < to);
      },
    },
    workers: {
      preview: async (request) => {
        asked.push(request);
        return [];
      },
    },
    // What revision 5 was is not known any more.
    tenantAt: async (revision, id) =>
      revision === 5 ? undefined : tenant(id, [sinkUse("raw", { windowEvents: revision })]),
  };
  expect(await previewJob(parts, SPEC, { examplesMax: 7 })).toEqual([]);
  expect(asked).toMatchObject([{ tenantId: "a", lanes, selection: SPEC.selection, examplesMax: 7 }]);
  expect(asked[0]?.earlier.map(({ revision, tenant: { sinks } }) => [revision, sinks[0]?.windowEvents])).toEqual([
    [9, 9],
    [3, 3],
  ]);
});
