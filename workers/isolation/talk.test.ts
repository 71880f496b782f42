import { expect, test } from "vitest";
import { Talk } from "./talk.ts";

test("a hundred lines pass in each second, and what is left out is told once in it", () => {
  let now = 0;
  const cut: string[] = [];
  const talk = new Talk(
    () => now,
    (message) => cut.push(message),
  );
  const passed = () => Array.from({ length: 250 }, () => talk.passes()).filter(Boolean).length;
  expect(passed()).toBe(100);
  expect(passed()).toBe(0);
  expect(cut).toEqual(["plugin says more than 100 lines a second; the rest is left out"]);
  now = 1_000;
  expect(passed()).toBe(100);
  expect(cut.length).toBe(2);
});
