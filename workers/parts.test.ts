import { describe, expect, it } from "vitest";
import type { LaneCommit } from "../core/ingestion/log.ts";
import { SimClock } from "../tests/helpers/sim-clock.ts";
import { Calls } from "./call.ts";
import { Committer } from "./committer.ts";
import { ReadBudget } from "./read-budget.ts";
import { codeText, errorCode, errorText, filterLabel, reasonText, responseText } from "./text.ts";
import { Timers } from "./timers.ts";

describe("timers", () => {
  it("run in order of their time on one sleep of the clock", async () => {
    const clock = new SimClock();
    const timers = new Timers(clock);
    const rung: number[] = [];
    for (const ms of [30, 10, 20, 40]) timers.after(ms, () => rung.push(ms));
    expect(clock.sleeping).toBe(1);
    await clock.advance(25);
    expect(rung).toEqual([10, 20]);
    await clock.advance(100);
    expect(rung).toEqual([10, 20, 30, 40]);
    expect(clock.sleeping).toBe(0);
  });

  it("do not run when cancelled, or once closed", async () => {
    const clock = new SimClock();
    const timers = new Timers(clock);
    const rung: string[] = [];
    timers.after(10, () => rung.push("cancelled")).cancel();
    timers.after(20, () => rung.push("kept"));
    timers.after(30, () => rung.push("closed"));
    await clock.advance(20);
    timers.close();
    await clock.advance(100);
    expect(rung).toEqual(["kept"]);
    expect(clock.sleeping).toBe(0);
  });

  it("that are cancelled do not pile up until their time", async () => {
    const clock = new SimClock();
    const timers = new Timers(clock);
    let rung = 0;
    const kept = Array.from({ length: 50 }, (_, i) => timers.after(30_000 + i, () => (rung += 1)));
    for (let i = 0; i < 100_000; i++) timers.after(60_000, () => (rung += 1_000)).cancel();
    kept[0]?.cancel();
    expect(timers.size).toBeLessThan(2_100);
    await clock.advance(60_000);
    expect([rung, timers.size]).toEqual([49, 0]);
  });

  it("may be set by another that runs", async () => {
    const clock = new SimClock();
    const timers = new Timers(clock);
    let rounds = 0;
    const again = () => {
      rounds += 1;
      if (rounds < 5) timers.after(10, again);
    };
    timers.after(10, again);
    await clock.advance(50);
    expect(rounds).toBe(5);
  });
});

describe("calls into foreign code", () => {
  const start = () => {
    const clock = new SimClock();
    return { clock, calls: new Calls(new Timers(clock)) };
  };

  it("end with the value, the throw or the rejection", async () => {
    const { calls } = start();
    expect(await calls.run(10, () => 7)).toEqual({ type: "value", value: 7 });
    expect(await calls.run(10, async () => 8)).toEqual({ type: "value", value: 8 });
    const error = new Error("boom");
    const thrower = () => {
      throw error;
    };
    expect(await calls.run(10, thrower)).toEqual({ type: "threw", error });
    expect(await calls.run(10, () => Promise.reject(error))).toEqual({ type: "threw", error });
  });

  it("are cancelled at the deadline, and counted until they come back", async () => {
    const { clock, calls } = start();
    const { promise, reject } = Promise.withResolvers<number>();
    let signal: AbortSignal | undefined;
    const end = calls.run(1_000, (given) => {
      signal = given;
      return promise;
    });
    await clock.advance(999);
    expect(signal?.aborted).toBe(false);
    await clock.advance(1);
    expect(await end).toEqual({ type: "late" });
    expect([signal?.aborted, calls.abandoned]).toEqual([true, 1]);
    reject(new Error("too late"));
    await clock.advance(0);
    expect(calls.abandoned).toBe(0);
  });

  it("are cut off by an abort, and refused after it", async () => {
    const { calls } = start();
    const running = calls.run(1_000, () => new Promise(() => undefined));
    calls.abort();
    expect(await running).toEqual({ type: "aborted" });
    expect(await calls.run(1_000, () => 7)).toEqual({ type: "aborted" });
  });
});

describe("the committer", () => {
  const commitOf = (n: number) => ({ settlement: { from: n } }) as unknown as LaneCommit;
  const sizesOf = (calls: readonly (readonly LaneCommit[])[]) => calls.map((call) => call.length);

  it("sends what comes in one turn together, and what comes meanwhile as the next", async () => {
    const calls: (readonly LaneCommit[])[] = [];
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const committer = new Committer({
      commit: async (commits) => {
        calls.push(commits);
        await gates[calls.length - 1]?.promise;
        return commits.map(() => ({ status: "fulfilled", value: undefined }));
      },
    });
    const first = [committer.commit(commitOf(0)), committer.commit(commitOf(1))];
    await Promise.resolve();
    const second = [2, 3, 4].map((n) => committer.commit(commitOf(n)));
    expect(sizesOf(calls)).toEqual([2]);
    gates[0]?.resolve();
    await Promise.all(first);
    gates[1]?.resolve();
    await Promise.all(second);
    expect(sizesOf(calls)).toEqual([2, 3]);
  });

  it("gives each lane its own result, and all of them a failure of the whole", async () => {
    const refusal = new Error("fenced");
    const results: PromiseSettledResult<void>[] = [
      { status: "fulfilled", value: undefined },
      { status: "rejected", reason: refusal },
    ];
    const some = new Committer({ commit: async () => results });
    expect(await Promise.allSettled([some.commit(commitOf(0)), some.commit(commitOf(1))])).toEqual(results);
    const none = new Committer({ commit: () => Promise.reject(refusal) });
    const all = await Promise.allSettled([none.commit(commitOf(0)), none.commit(commitOf(1))]);
    expect(all.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    await expect(none.commit(commitOf(2))).rejects.toBe(refusal);
  });
});

it("a read budget resumes readers in turn, only as many as there is room for", () => {
  const budget = new ReadBudget(100);
  const resumed: string[] = [];
  const reader = (name: string) => ({
    resume: () => {
      resumed.push(name);
      budget.change(60);
    },
  });
  budget.change(150);
  const [a, b, c] = [reader("a"), reader("b"), reader("c")];
  for (const each of [a, b, c]) budget.wait(each);
  budget.change(-40);
  expect(resumed).toEqual([]);
  budget.change(-100);
  expect(resumed).toEqual(["a", "b"]);
  budget.leave(c);
  budget.change(-130);
  expect(resumed).toEqual(["a", "b"]);
});

describe("foreign text", () => {
  const hostile = new Proxy(
    {},
    {
      get: () => {
        throw new Error("trap");
      },
    },
  );

  it("becomes one bounded line, whatever it is", () => {
    expect(reasonText("a\r\n\u001b[31mb\u0000")).toBe("a [31mb");
    expect(reasonText("x".repeat(10_000)).length).toBe(500);
    expect([undefined, null, 7, 7n, "", {}, hostile].map(reasonText)).toEqual([
      "no reason given",
      "null",
      "7",
      "unprintable",
      "no reason given",
      "{}",
      "unprintable",
    ]);
    expect(errorText(Object.assign(new Error("x"), { message: { not: "text" } }))).toBe('{"not":"text"}');
    expect(filterLabel("bots", "x".repeat(500)).length).toBe(120);
    expect([responseText(""), responseText(7), responseText("ok"), responseText("y".repeat(9_999))?.length]).toEqual([
      undefined,
      undefined,
      "ok",
      4_096,
    ]);
  });

  it("is a failure code only if it looks like one", () => {
    expect(["23505", "ECONNREFUSED", 503].map(codeText)).toEqual(["23505", "ECONNREFUSED", "503"]);
    const unfit = [undefined, "", "two words", "x".repeat(65), "a\nb", {}];
    expect(unfit.map(codeText)).toEqual(unfit.map(() => "plugin_error"));
    expect([errorCode({ code: "28P01" }), errorCode(undefined), errorCode(hostile)]).toEqual([
      "28P01",
      "plugin_error",
      "plugin_error",
    ]);
  });
});
