import { describe, expect, test } from "vitest";
import type { SinkOutcome } from "../../plugins/contract.ts";
import { FakeSink } from "../helpers/fake-sink.ts";
import { appendEvents, lane, sinkUse, tenant, WorkerBench } from "../helpers/worker-bench.ts";

const PARTITIONS = 8;
const STEP_MS = 100;
/** Of each partition, per step. */
const EVENTS = 3;
const HEALTHY_MS = 20_000;
const OUT_MS = 60_000;
/** Of what the sink is sent while it is down, against what it takes in the same time while it works. */
const RETRY_SHARE_MAX = 0.1;
const BACK_WITHIN_MS = 5_000;

type Outage = "unavailable" | "retry" | "throw" | "hang";

const ANSWERS: Readonly<Record<Outage, (signal: AbortSignal) => Promise<SinkOutcome>>> = {
  unavailable: async () => ({ type: "retry", code: "503", reason: "down", unavailable: true }),
  retry: async () => ({ type: "retry", code: "500", reason: "down" }),
  throw: async () => {
    throw new Error("down");
  },
  hang: (signal) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("cut off")))),
};

describe.each(Object.keys(ANSWERS) as Outage[])("a sink that is down for a minute (%s)", (kind) => {
  test.each([1, 10, 100])(
    "is sent next to nothing, burns no attempt and is back at once, in batches of %i",
    async (eventsMax) => {
      const sink = new FakeSink();
      const use = sinkUse("out", { batch: { eventsMax, bytesMax: 1 << 20, lingerMs: 0 } });
      const bench = await WorkerBench.start({
        plugins: [sink.definition("out")],
        tenants: [tenant("shop", [use], { partitions: PARTITIONS })],
      });
      const sent = (): number => sink.calls.reduce((sum, call) => sum + call.length, 0);
      let appended = 0;
      const pass = async (ms: number): Promise<void> => {
        for (let at = 0; at < ms; at += STEP_MS) {
          for (let partition = 0; partition < PARTITIONS; partition++)
            await appendEvents(bench.log, "shop", { count: EVENTS, prefix: `p${partition}-${appended}-`, partition });
          appended += EVENTS;
          await bench.clock.advance(STEP_MS);
        }
      };

      await pass(HEALTHY_MS);
      const perMs = sent() / HEALTHY_MS;
      const works = sink.behave;
      sink.behave = async (events, ctx) => {
        const answer = await ANSWERS[kind](ctx.signal);
        return events.map(() => answer);
      };
      const before = sent();
      await pass(OUT_MS);
      expect((sent() - before) / (perMs * OUT_MS)).toBeLessThan(RETRY_SHARE_MAX);

      sink.behave = works;
      const taken = sink.taken.size;
      await pass(BACK_WITHIN_MS);
      expect(sink.taken.size).toBeGreaterThan(taken);
      for (let partition = 0; partition < PARTITIONS; partition++) {
        const state = await bench.until(lane("shop", "out", partition), appended, 60_000);
        expect(state).toMatchObject({ delivered: appended, dead: 0 });
      }
      await bench.stop();
    },
  );
});
