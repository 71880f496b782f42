import { describe, expect, it } from "vitest";
import { slotOf } from "../core/ingestion/log.ts";
import type { SinkOutcome } from "../plugins/contract.ts";
import { type Behaviour, FakeSink } from "../tests/helpers/fake-sink.ts";
import { appendEvents, entry, lane, revision, sinkUse, tenant } from "../tests/helpers/worker-bench.ts";
import { start, startOne } from "../tests/helpers/worker-start.ts";

const LANE = lane("a", "fake");
const OK: SinkOutcome = { type: "ok" };
const works: Behaviour = (events) => events.map(() => OK);

describe("a sink that misbehaves", () => {
  it("is a plugin error with its name and version, whatever it returns", async () => {
    const answers: unknown[] = [
      undefined,
      null,
      7,
      [],
      [null],
      [{ type: "yes" }],
      [OK, OK],
      { length: 1 },
      [
        Object.create({
          get type() {
            throw new Error("trap");
          },
        }),
      ],
    ];
    for (const answer of answers) {
      const sink = new FakeSink();
      sink.behave = (() => answer) as Behaviour;
      const bench = await startOne(sink);
      await appendEvents(bench.log, "a", { count: 1 });
      await bench.clock.advance(100);
      const [status] = await bench.worker.status();
      expect(status?.lastError).toMatchObject({ stage: "sink fake", code: "plugin_error" });
      expect(status?.lastError?.message).toMatch(/^fake@1\.2\.3 /);
      expect(await bench.log.loadLane(LANE)).toMatchObject({ cursor: 0, dead: 0 });
    }
  });

  it("may come back late: its answer is ignored and its event delivered again", async () => {
    const sink = new FakeSink();
    const late: (() => void)[] = [];
    sink.behave = () => new Promise((_resolve, reject) => late.push(() => reject(new Error("late"))));
    const bench = await startOne(sink, {
      retry: { attempts: 3, backoffMinMs: 100, backoffMaxMs: 400, timeoutMs: 1_000 },
    });
    await appendEvents(bench.log, "a", { count: 4 });
    await bench.clock.advance(1_500);
    for (const answer of late) answer();
    sink.behave = works;
    expect(await bench.until(LANE, 4, 5_000)).toMatchObject({ delivered: 4 });
  });

  it("is started again until its init succeeds", async () => {
    const sink = new FakeSink();
    sink.init = () => Promise.reject(Object.assign(new Error("no such host"), { code: "ENOTFOUND" }));
    const bench = await startOne(sink);
    await appendEvents(bench.log, "a", { count: 3 });
    await bench.clock.advance(60_000);
    expect((await bench.worker.status())[0]?.lastError).toMatchObject({
      code: "ENOTFOUND",
      message: "fake@1.2.3 did not start: no such host",
    });
    sink.init = async () => undefined;
    expect(await bench.until(LANE, 3, 5_000)).toMatchObject({ delivered: 3 });
    expect(sink.closed).toBe(sink.instances - 1);
  });

  it("gets the attempt's number, and a permanent error's answer is kept in the dead letter", async () => {
    const sink = new FakeSink();
    const attempts: number[] = [];
    sink.behave = (events, ctx) => {
      attempts.push(ctx.attempt);
      return events.map(({ event_id }) =>
        event_id === "e0" && ctx.attempt < 3
          ? { type: "retry", reason: "busy" }
          : event_id === "e0"
            ? { type: "error", reason: "bad", code: "422", response: "x".repeat(9_000) }
            : OK,
      );
    };
    const bench = await startOne(sink);
    await appendEvents(bench.log, "a", { count: 2 });
    await bench.until(LANE, 2, 10_000);
    expect(attempts).toEqual([1, 2, 3]);
    const letter = await bench.log.deadLetter(LANE, 0);
    expect(letter).toMatchObject({ code: "422", message: "bad" });
    expect(letter?.response?.length).toBe(4_096);
    expect(letter?.attempts.map(({ reason }) => reason)).toEqual([
      "plugin_error: busy",
      "plugin_error: busy",
      "422: bad",
    ]);
  });
});

describe("the log's failures", () => {
  it("hold the cursor: with commits that fail or whose outcome is unknown, every event is counted once", async () => {
    const sink = new FakeSink();
    const tenants = [tenant("a", [sinkUse("fake", { batch: { eventsMax: 7, bytesMax: 1_000_000, lingerMs: 0 } })])];
    const faults = { delayMsMax: 20, failure: 0.2, unknown: 0.2, readFailure: 0.2, deadLetterFailure: 0.5 };
    const bench = await start({ plugins: [sink.definition("fake")], tenants, faults });
    sink.behave = (events) =>
      events.map(({ event_id }) => (event_id.endsWith("5") ? { type: "error", reason: "bad" } : OK));
    for (let i = 0; i < 20; i++) {
      const entries = () => Array.from({ length: 10 }, (_, n) => entry("a", `e${i}-${n}`));
      await bench.ask(() => bench.log.append(entries()));
    }
    expect(await bench.until(LANE, 200, 300_000)).toMatchObject({ delivered: 180, dead: 20 });
    // Nor does a commit whose outcome was unknown cost a second delivery.
    expect(sink.calls.flat().length).toBe(200);
    const letters = await bench.ask(() => bench.log.deadLetters({ limit: 500 }));
    expect(letters.map(({ eventId }) => eventId).sort()).toEqual(
      Array.from({ length: 20 }, (_, i) => `e${i}-5`).sort(),
    );
  });

  it("end a lane whose claim was lost, and it goes on where the log says when the claim comes back", async () => {
    const sink = new FakeSink();
    const bench = await startOne(sink);
    await appendEvents(bench.log, "a", { count: 10 });
    await bench.until(LANE, 10, 0);
    const slot = slotOf(LANE.stream);
    bench.log.takeOver(slot);
    await appendEvents(bench.log, "a", { count: 5, prefix: "later" });
    await bench.clock.advance(10_000);
    expect(await bench.log.loadLane(LANE)).toMatchObject({ cursor: 10 });
    bench.log.giveBack(slot);
    await bench.until(LANE, 15, 5_000);
  });

  it("are not argued with once the claim is lost: what was under way is not committed", async () => {
    const sink = new FakeSink();
    let commits = 0;
    const bench = await start({
      plugins: [sink.definition("fake")],
      tenants: [tenant("a", [sinkUse("fake", { batch: { eventsMax: 1, bytesMax: 1_000_000, lingerMs: 0 } })])],
      override: (log, clock) => ({
        commit: async (all) => {
          commits += 1;
          await clock.sleep(1_000);
          return log.commit(all);
        },
      }),
    });
    await appendEvents(bench.log, "a", { count: 10 });
    await bench.clock.advance(100);
    expect([sink.taken.size, commits]).toEqual([10, 1]);
    bench.log.takeOver(slotOf(LANE.stream));
    await bench.clock.advance(10_000);
    expect(commits).toBe(1);
    expect(await bench.log.loadLane(LANE)).toMatchObject({ cursor: 0 });
  });

  it("end a lane whose claim was lost at once, whatever else the worker waits for", async () => {
    const [slow, other] = [new FakeSink(), new FakeSink()];
    const plugins = [slow.definition("slow"), other.definition("other")];
    const tenants = [tenant("a", [sinkUse("slow")]), tenant("b", [sinkUse("other")])];
    const bench = await start({ plugins, tenants });
    slow.behave = async (events) => {
      await bench.clock.sleep(4_000);
      return events.map(() => OK);
    };
    await appendEvents(bench.log, "a", { count: 1 });
    await bench.clock.advance(10);
    const applied = bench.worker.apply(revision(2, [tenants[1] as (typeof tenants)[number]]));
    await bench.clock.advance(10);
    bench.log.takeOver(slotOf({ tenantId: "b", partition: 0 }));
    await bench.clock.advance(10);
    await appendEvents(bench.log, "b", { count: 1 });
    await bench.clock.advance(100);
    expect(other.calls).toEqual([]);
    await bench.finish(applied);
  });

  it("dead-letters bytes that are no event, with its place", async () => {
    const sink = new FakeSink();
    const bench = await startOne(sink);
    const bad = entry("a", "e1");
    bad.bytes.write("}", bad.bytes.indexOf('"event_id"'));
    await bench.log.append([entry("a", "e0"), bad, entry("a", "e2")]);
    expect(await bench.until(LANE, 3, 0)).toMatchObject({ delivered: 2, dead: 1 });
    expect(await bench.log.deadLetter(LANE, 1)).toMatchObject({ stage: "decode", code: "undecodable", eventId: "" });
  });
});
