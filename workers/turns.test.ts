import { describe, expect, it } from "vitest";
import { SimClock } from "../tests/helpers/sim-clock.ts";
import { Timers } from "./timers.ts";
import { Turns } from "./turns.ts";

function setUp() {
  const clock = new SimClock();
  const turns = new Turns(new Timers(clock));
  const log: string[] = [];
  const job = (name: string) => {
    const lane = { resume: () => void (turns.take(lane) && log.push(`${name} at ${clock.monotonic()}`)) };
    return lane;
  };
  return { clock, turns, log, job };
}

/** Past the time in which a job would get a turn however busy the live lanes are. */
const LATER_MS = 1_000;

describe("turns", () => {
  it("go to one job at a time, to those that wait in the order in which they came", async () => {
    const { clock, turns, log, job } = setUp();
    await clock.advance(LATER_MS);
    const [a, b, c] = [job("a"), job("b"), job("c")];
    for (const lane of [a, b, c]) lane.resume();
    expect(log).toEqual(["a at 1000"]);
    await clock.advance(10);
    turns.done(1);
    await clock.advance(10);
    turns.done(1);
    await clock.advance(10);
    expect(log).toEqual(["a at 1000", "b at 1010", "c at 1020"]);
  });

  it("wait while a live lane delivers, and come once none does", async () => {
    const { clock, turns, log, job } = setUp();
    await clock.advance(LATER_MS);
    job("before").resume();
    turns.done(1);
    turns.enter();
    turns.enter();
    job("a").resume();
    await clock.advance(50);
    turns.leave();
    await clock.advance(50);
    expect(log).toEqual(["before at 1000"]);
    turns.leave();
    await clock.advance(1);
    expect(log).toEqual(["before at 1000", "a at 1100"]);
  });

  it("come at long last, however busy the live lanes are", async () => {
    const { clock, turns, log, job } = setUp();
    await clock.advance(LATER_MS);
    job("before").resume();
    turns.done(1);
    turns.enter();
    job("a").resume();
    await clock.advance(LATER_MS);
    expect(log).toEqual(["before at 1000", "a at 1250"]);
  });

  it("rest for the share of the time that is not the job's", async () => {
    const { clock, turns, log, job } = setUp();
    await clock.advance(LATER_MS);
    const a = job("a");
    a.resume();
    await clock.advance(20);
    turns.done(0.25);
    a.resume();
    await clock.advance(LATER_MS);
    expect(log).toEqual(["a at 1000", "a at 1080"]);
  });

  it("leave two thirds of the time to live lanes that delivered a moment ago", async () => {
    const { clock, turns, log, job } = setUp();
    await clock.advance(LATER_MS);
    turns.enter();
    turns.leave();
    const a = job("a");
    a.resume();
    await clock.advance(30);
    turns.done(1);
    a.resume();
    await clock.advance(LATER_MS);
    turns.done(1);
    a.resume();
    expect(log).toEqual(["a at 1000", "a at 1090", "a at 2030"]);
  });

  it("are not owed to a lane that left, nor lost with one that gives its turn back", async () => {
    const { clock, turns, log, job } = setUp();
    await clock.advance(LATER_MS);
    const [a, b, c] = [job("a"), job("b"), job("c")];
    for (const lane of [a, b, c]) lane.resume();
    turns.leaveQueue(b);
    turns.giveBack();
    await clock.advance(5);
    expect(log).toEqual(["a at 1000", "c at 1000"]);
  });
});
