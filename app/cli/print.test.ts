import { expect, onTestFinished, test } from "vitest";
import { printFields } from "./print.ts";

/** What is printed to a terminal of so many columns; to a pipe without. */
function printed(fields: Parameters<typeof printFields>[0], columns?: number): string[] {
  let text = "";
  const { stdout } = process;
  const before = { write: stdout.write, isTTY: stdout.isTTY, columns: stdout.columns };
  const restore = () => void Object.assign(stdout, before);
  onTestFinished(restore);
  Object.assign(stdout, { write: (part: string) => (text += part) !== "", isTTY: columns !== undefined, columns });
  printFields(fields);
  restore();
  return text.trimEnd().split("\n");
}

const JOB = {
  id: "replay-1",
  rate: { events_per_second: 20 },
  lanes: [
    { lane: "demo/0/raw", from: 0, to: 300 },
    { lane: "demo/1/raw", from: 0, to: 9 },
  ],
  ended_at: undefined,
  progress: { delivered: 9, filtered: 0, eta_ms: undefined, waiting: [] },
};

test("fields are for reading: names and values, and nothing where there is no value", () => {
  expect(printed(JOB)).toEqual([
    "id        replay-1",
    "rate      events_per_second 20",
    "lanes     lane demo/0/raw, from 0, to 300; lane demo/1/raw, from 0, to 9",
    "progress  delivered 9, filtered 0, waiting none",
  ]);
});

test("fields fit the terminal", () => {
  expect(printed(JOB, 40)).toEqual([
    "id        replay-1",
    "rate      events_per_second 20",
    "lanes     lane demo/0/raw, from 0, to",
    "          300; lane demo/1/raw, from 0,",
    "          to 9",
    "progress  delivered 9, filtered 0,",
    "          waiting none",
  ]);
});
