import { expect, it } from "vitest";
import type { SinkOutcome, TransformDefinition } from "../plugins/contract.ts";
import { FakeSink } from "../tests/helpers/fake-sink.ts";
import { JobBench } from "../tests/helpers/job-bench.ts";
import { appendEvents, lane, sinkUse, tenant } from "../tests/helpers/worker-bench.ts";

const OK: SinkOutcome = { type: "ok" };

it("the tenant's transforms, the sink's own and the sink learn a replay's id, and of live traffic none", async () => {
  const seen: string[] = [];
  const note = (where: string, id: string, replayId = "live") => seen.push(`${where} ${id} ${replayId}`);
  const noting = (name: string): TransformDefinition => ({
    ...{ kind: "transform", name, version: "1.0.0", summary: "Notes whose events it sees" },
    create: () => ({
      ...{ name, version: "1.0.0" },
      process: async (event, { replayId }) => {
        note(name, event.event_id, replayId);
        return { type: "ok", event };
      },
    }),
  });
  const sink = new FakeSink();
  sink.behave = (events, { replayId }) =>
    events.map(({ event_id }) => {
      note("sink", event_id, replayId);
      return OK;
    });
  const own = [{ name: "own", config: {} }];
  const jobs = await JobBench.start({
    plugins: [sink.definition("fake"), noting("shared"), noting("own")],
    tenants: [tenant("a", [sinkUse("fake", { transforms: own })], { transforms: [{ name: "shared", config: {} }] })],
  });
  try {
    await appendEvents(jobs.log, "a", { count: 2 });
    await jobs.bench.until(lane("a", "fake"), 2, 5_000);
    const { id } = await jobs.run({ kind: "replay", selection: {} });
    const all = ["live", id].flatMap((who) =>
      ["shared", "own", "sink"].flatMap((where) => [`${where} e0 ${who}`, `${where} e1 ${who}`]),
    );
    expect(seen.toSorted()).toEqual(all.toSorted());
  } finally {
    await jobs.bench.stop();
  }
});
