import fs from "node:fs/promises";
import { join } from "node:path";
import { open } from "lmdb";
import { expect, it } from "vitest";
import { joined } from "../../core/ingestion/dead-letters.ts";
import { laneKey } from "../../core/ingestion/log.ts";
import { LANE, letterOf } from "../../tests/conformance/log-fixtures.ts";
import { tempDir } from "../../tests/helpers/temp-dir.ts";
import { openState } from "./state-copy.ts";
import { StateStore } from "./state.ts";
import { quietLogger } from "./testing.ts";

const GONE = "<said by one that is gone>";
const THERE = "<said by one that is there>";

it("dead letters that an older version kept as they are are sealed by the start, with nothing of them left beside", async () => {
  const path = join(await tempDir(), "state");
  const letter = { ...letterOf(LANE, 5), message: THERE, response: THERE, bytes: Buffer.from(THERE) };
  const gone = { ...letterOf(LANE, 4), message: GONE, bytes: Buffer.from(GONE.repeat(300)) };
  const old = new StateStore(path);
  await old.openLane(LANE, 0);
  await old.close();
  const env = open({ path, maxDbs: 16, noSubdir: false });
  const [letters, counts, index] = ["dead-letters", "dead-letter-counts", "dead-letter-index"].map((name) =>
    env.openDB({ name }),
  );
  const kind = [laneKey(LANE), letter.fingerprint, letter.eventType];
  await letters?.put([laneKey(LANE), 4], gone);
  await letters?.put([laneKey(LANE), 5], letter);
  await letters?.remove([laneKey(LANE), 4]);
  await counts?.put(kind, joined(undefined, letter));
  await index?.put([...kind, 5], true);
  await env.close();
  const holds = async (text: string) => (await fs.readFile(join(path, "data.mdb"))).includes(text);
  expect([await holds(GONE), await holds(THERE)]).toEqual([true, true]);

  const state = await openState(path, quietLogger);
  expect([await holds(GONE), await holds(THERE)]).toEqual([false, false]);
  expect(state.deadLetter(LANE, 5)).toEqual(letter);
  expect(await state.deadLetterGroups({})).toMatchObject([{ message: THERE, events: 1 }]);
  expect(state.isPlain).toBe(false);
  await state.close();
});
