import { expect, it } from "vitest";
import { SimClock } from "../../tests/helpers/sim-clock.ts";
import { PacedRefusals } from "./paced-refusals.ts";

function start() {
  const clock = new SimClock();
  const refusals = new PacedRefusals(clock);
  const seen: string[] = [];
  const refuse = (name: string) => {
    const source = { pause: () => seen.push(`${name} rests`), resume: () => seen.push(`${name} goes on`) };
    refusals.later(source, () => seen.push(`${name} answered`));
  };
  return { clock, refusals, seen, refuse };
}

it("leaves a connection unread until its refusal is answered, one after the other", async () => {
  const { clock, seen, refuse } = start();
  refuse("a");
  await clock.advance(50);
  refuse("b");
  expect(seen.splice(0)).toEqual(["a rests", "b rests"]);
  await clock.advance(50);
  expect(seen.splice(0)).toEqual(["a goes on", "a answered"]);
  await clock.advance(60);
  expect(seen.splice(0)).toEqual(["b goes on", "b answered"]);
  expect(clock.sleeping).toBe(0);
});

it("answers all that wait when it closes, and whoever comes later at once", () => {
  const { refusals, seen, refuse } = start();
  refuse("a");
  refuse("b");
  refusals.close();
  refuse("c");
  expect(seen.filter((what) => what.endsWith("answered"))).toEqual(["a answered", "b answered", "c answered"]);
});

it("bounds how many wait: the next is answered at once", () => {
  const { seen, refuse } = start();
  for (let n = 0; n < 8_192; n++) refuse("early");
  expect(seen).not.toContain("early answered");
  refuse("late");
  expect(seen.filter((what) => what.startsWith("late"))).toEqual(["late answered"]);
});
