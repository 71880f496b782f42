import { expect, it } from "vitest";
import { Pacing } from "./pacing.ts";

it("answers a lone refusal after a tenth of a second", () => {
  expect(new Pacing().answerAt(5_000)).toBe(5_100);
});

it("lets those that came at one moment have their answers one after the other", () => {
  const pacing = new Pacing();
  expect(Array.from({ length: 4 }, () => pacing.answerAt(0))).toEqual([100, 102, 104, 106]);
});

it("keeps none waiting for more than a second, and lets no crowd go at one moment, however many come", () => {
  const pacing = new Pacing();
  const waits = Array.from({ length: 10_000 }, () => pacing.answerAt(0));
  expect(Math.max(...waits)).toBe(1_000);
  expect(Math.min(...waits)).toBe(100);
  const perMs = Map.groupBy(waits, (wait) => wait);
  for (const { length } of perMs.values()) expect(length).toBeLessThanOrEqual(Math.ceil(10_000 / 250));
});

it("keeps to five hundred answers a second while six hundred clients come again at once, give or take the most", () => {
  const pacing = new Pacing();
  const due = Array.from({ length: 600 }, () => pacing.answerAt(0));
  let answers = 0;
  for (let now = 0; now < 10_000; now++) {
    for (let at = 0; at < due.length; at++) {
      if ((due[at] as number) > now) continue;
      answers += 1;
      due[at] = pacing.answerAt(now);
    }
  }
  expect(answers / 10).toBeGreaterThan(400);
  expect(answers / 10).toBeLessThan(900);
});
