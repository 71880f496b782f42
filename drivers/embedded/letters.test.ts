import { open } from "lmdb";
import { expect, test } from "vitest";
import type { DeadLetter } from "../../core/ingestion/log.ts";
import { letterOf, LANE } from "../../tests/conformance/log-fixtures.ts";
import { tempDir } from "../../tests/helpers/temp-dir.ts";
import { LetterStore } from "./letters.ts";

const LETTERS = 90_000;
/** Of the sequences, so that pieces are of keys, not of sequences. */
const GAP = 7;

function letter(i: number): DeadLetter {
  const eventType = i % 3 === 0 ? "rare" : "common";
  return { ...letterOf(LANE, i * GAP), eventType, receivedAt: i, attempts: [], bytes: Buffer.alloc(0) };
}

test("of a time so many letters are counted as there are, in pieces between which others have their turn", async () => {
  const folder = await tempDir();
  const env = open({ path: folder, maxDbs: 16, noSubdir: false });
  const store = new LetterStore(env, folder);
  await env.transaction(() => {
    for (let i = 0; i < LETTERS; i++) store.put("lane", letter(i));
  });
  let turns = 0;
  const clock = setInterval(() => (turns += 1), 0);
  const counts = async (from: number, to: number) => {
    const counted = await store.counted("lane", { receivedFrom: from, receivedTo: to });
    return Object.fromEntries(counted.map(({ eventType, events }) => [eventType, events]));
  };
  for (const [from, to] of [
    [0, LETTERS],
    [1, LETTERS - 1],
    [29_999, 60_003],
    [12, 13],
    [13, 14],
    [5, 5],
  ] as const) {
    const rare = Math.ceil(to / 3) - Math.ceil(from / 3);
    const due = { common: to - from - rare, rare };
    expect(await counts(from, to)).toEqual(Object.fromEntries(Object.entries(due).filter(([, events]) => events > 0)));
  }
  clearInterval(clock);
  expect(turns).toBeGreaterThan(0);
  store.keys.close();
  await env.close();
});
