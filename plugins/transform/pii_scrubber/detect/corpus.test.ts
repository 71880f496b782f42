import { readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { find, KINDS, type Kind } from "./index.ts";

const CORPUS = new URL("../corpus/corpus.txt", import.meta.url);
const README = new URL("../README.md", import.meta.url);
const MARK = /«(\w+)\|([^»]*)»/g;
/** What a change of a detector may not fall below. */
const FLOOR = { precision: 0.85, recall: 0.9 };

interface Score {
  hits: number;
  misses: number;
  falseAlarms: number;
}

test("README states the precision and recall that the detectors have on the corpus", () => {
  const { scores, faults } = judge();
  const readme = readFileSync(README, "utf8");
  const table = tableOf(scores);
  if (process.env["UPDATE_GOLDEN"] === "1")
    writeFileSync(README, readme.replace(/\| detector \|[^]*?\n\n/, `${table}\n\n`));
  expect(readFileSync(README, "utf8"), `stale? UPDATE_GOLDEN=1 writes it anew\n${faults.join("\n")}`).toContain(table);
});

test.each(KINDS)("the %s detector stays above the floor", (kind) => {
  const { scores, faults } = judge();
  const { hits, misses, falseAlarms } = scores.get(kind) as Score;
  expect(hits + misses).toBeGreaterThanOrEqual(20);
  expect(hits / (hits + falseAlarms), faults.join("\n")).toBeGreaterThanOrEqual(FLOOR.precision);
  expect(hits / (hits + misses), faults.join("\n")).toBeGreaterThanOrEqual(FLOOR.recall);
});

/** Each line through all detectors at once; a match counts when it has the very bounds that the reader gave. */
function judge(): { scores: Map<Kind, Score>; faults: string[] } {
  const scores = new Map<Kind, Score>(KINDS.map((kind) => [kind, { hits: 0, misses: 0, falseAlarms: 0 }]));
  const faults: string[] = [];
  for (const line of lines()) {
    const wanted = [...line.matchAll(MARK)].map(([, kind, text]) => `${kind} ${text}`);
    const text = line.replaceAll(MARK, "$2");
    const found = find(text, KINDS).map(({ kind, start, end }) => `${kind} ${text.slice(start, end)}`);
    const count = (list: readonly string[], field: keyof Score) => {
      for (const one of list) (scores.get(one.split(" ")[0] as Kind) as Score)[field] += 1;
    };
    const missed = wanted.filter((one) => !found.includes(one));
    const wrong = found.filter((one) => !wanted.includes(one));
    count(
      wanted.filter((one) => found.includes(one)),
      "hits",
    );
    count(missed, "misses");
    count(wrong, "falseAlarms");
    faults.push(...missed.map((one) => `missed: ${one}`), ...wrong.map((one) => `false alarm: ${one}, in: ${text}`));
  }
  return { scores, faults };
}

function lines(): string[] {
  return readFileSync(CORPUS, "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("# "));
}

function tableOf(scores: ReadonlyMap<Kind, Score>): string {
  const rows = [...scores].map(([kind, { hits, misses, falseAlarms }]) => {
    const precision = percent(hits, falseAlarms);
    return `| \`${kind}\` | ${hits + misses} | ${hits} | ${falseAlarms} | ${precision} | ${percent(hits, misses)} |`;
  });
  return [
    "| detector | in the corpus | found | false alarms | precision | recall |",
    "|---|---|---|---|---|---|",
    ...rows,
  ].join("\n");
}

function percent(hits: number, others: number): string {
  return `${((100 * hits) / (hits + others)).toFixed(1)} %`;
}
