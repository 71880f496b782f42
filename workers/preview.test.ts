import { afterEach, describe, expect, it } from "vitest";
import type { PreviewRequest, SinkPreview } from "../core/ingestion/preview.ts";
import type { SinkUse, TenantConfig } from "../core/ingestion/revision.ts";
import { definePlugin, type SinkOutcome } from "../plugins/contract.ts";
import { FakeSink } from "../tests/helpers/fake-sink.ts";
import { JobBench } from "../tests/helpers/job-bench.ts";
import { entry, lane, sinkUse, tenant } from "../tests/helpers/worker-bench.ts";

const benches: JobBench[] = [];
const LANE = lane("a", "fake");

afterEach(async () => {
  for (const { bench } of benches.splice(0)) await bench.stop();
});

/** Sets payload.mark to what its configuration says; drops events with n of `drop`; fails those of `fail`. */
const MARK = definePlugin({
  kind: "transform",
  name: "mark",
  version: "1.0.0",
  summary: "Marks",
  create: () => {
    let config: { as?: string; drop?: number; fail?: number } = {};
    return {
      name: "mark",
      version: "1.0.0",
      init: async (given: unknown) => void (config = given as typeof config),
      process: async (event) => {
        const n = event.payload.n as number;
        if (n === config.drop) return { type: "drop", reason: "unwanted" };
        if (n === config.fail) return { type: "error", reason: "can't", retryable: false };
        return { type: "ok", event: { ...event, payload: { ...event.payload, mark: config.as ?? "x" } } };
      },
    };
  },
});

const marked = (config: object, sink: Partial<SinkUse> = {}): TenantConfig =>
  tenant("a", [sinkUse("fake", sink)], { transforms: [{ name: "mark", config }] });

async function start(first: TenantConfig) {
  const sink = new FakeSink();
  const jobs = await JobBench.start({ plugins: [sink.definition("fake"), MARK], tenants: [first] });
  benches.push(jobs);
  const { bench } = jobs;
  await bench.log.append(Array.from({ length: 10 }, (_, i) => entry("a", `e${i}`, { payload: `{"n":${i}}` })));
  await bench.until(LANE, 10, 5_000);
  const calls = sink.calls.length;
  const preview = async (change: Partial<PreviewRequest> = {}): Promise<SinkPreview> => {
    const request: PreviewRequest = {
      tenantId: "a",
      lanes: [{ lane: { ...LANE, job: "preview" }, from: 0, to: 10 }],
      selection: {},
      eventsMax: 1_000,
      examplesMax: 3,
      earlier: [{ revision: 1, tenant: first }],
      ...change,
    };
    const [found] = await bench.finish(bench.worker.preview(request));
    expect(sink.calls).toHaveLength(calls);
    return found as SinkPreview;
  };
  return { jobs, bench, sink, preview };
}

const SAME = { deliveredAnew: 0, filtered: 0, dead: 0, changed: 0, unknown: 0, isPartial: false, examples: [] };

describe("a preview", () => {
  it("of the same configuration is empty, and delivers nothing", async () => {
    const { preview } = await start(marked({ drop: 3, fail: 4 }));
    expect(await preview()).toEqual({ sink: "fake", events: 10, ...SAME });
  });

  it("is empty for another configuration that makes the same of every event", async () => {
    const { jobs, preview } = await start(marked({ as: "x", drop: 3 }));
    await jobs.apply([marked({ drop: 3 })], 2);
    expect(await preview()).toEqual({ sink: "fake", events: 10, ...SAME });
  });

  it("tells what is delivered anew, filtered and dead today, and shows what is different in the content", async () => {
    const { jobs, preview } = await start(marked({ as: "old", drop: 3 }));
    await jobs.apply([marked({ as: "new", drop: 5, fail: 6 })], 2);
    const found = await preview({ examplesMax: 100 });
    expect(found).toMatchObject({ events: 10, deliveredAnew: 1, filtered: 1, dead: 1, changed: 7, unknown: 0 });
    const byId = new Map(found.examples.map((example) => [example.eventId, example]));
    expect(byId.get("e3")).toMatchObject({ recorded: "filtered: mark: unwanted", today: "delivered", changes: [] });
    expect(byId.get("e5")).toMatchObject({ recorded: "delivered", today: "filtered: mark: unwanted" });
    expect(byId.get("e6")).toMatchObject({ recorded: "delivered", today: "dead: transform mark plugin_error" });
    expect(byId.get("e0")).toMatchObject({
      sequence: 0,
      changes: [{ path: "payload.mark", before: "old", after: "new" }],
    });
  });

  it("shows so many examples, looks at so many events, and counts what nothing is known of", async () => {
    const { jobs, preview } = await start(marked({ as: "old" }));
    await jobs.apply([marked({ as: "new" })], 2);
    expect(await preview({ examplesMax: 2 })).toMatchObject({ changed: 10, examples: [{}, {}] });
    expect(await preview({ eventsMax: 4 })).toMatchObject({ events: 4, isPartial: true });
    expect(await preview({ earlier: [] })).toMatchObject({ changed: 0, unknown: 10 });
    expect(await preview({ selection: { filter: "event.payload.n < 3" } })).toMatchObject({ events: 3, changed: 3 });
  });

  it("follows the routes", async () => {
    const { jobs, preview } = await start(marked({}));
    await jobs.apply([marked({}, { route: { when: "event.payload.n >= 8" } })], 2);
    expect(await preview()).toMatchObject({
      events: 10,
      filtered: 8,
      examples: [{ today: "filtered: route:when" }, {}, {}],
    });
  });

  it("of dead letters takes those of the sink for passed on, and those of a transform for what they are", async () => {
    const { jobs, bench, sink } = await start(marked({ fail: 4 }));
    const refused: SinkOutcome = { type: "error", reason: "no", code: "23514" };
    sink.behave = (events) => events.map(() => refused);
    await bench.log.append([entry("a", "e10", { payload: '{"n":10}' })]);
    await bench.until(LANE, 11, 5_000);
    await jobs.apply([marked({ as: "y" })], 2);
    sink.calls.length = 0;
    const lanes = [{ lane: { ...LANE, job: "preview" }, of: LANE, from: 0, to: 11 }];
    const before = sink.calls.length;
    const [found] = await bench.finish(
      bench.worker.preview({
        ...{ tenantId: "a", lanes, selection: {}, eventsMax: 10, examplesMax: 10 },
        earlier: [{ revision: 1, tenant: marked({ fail: 4 }) }],
      }),
    );
    expect(sink.calls).toHaveLength(before);
    expect(found).toMatchObject({ events: 2, deliveredAnew: 1, examples: [{ eventId: "e4", today: "delivered" }] });
  });
});
