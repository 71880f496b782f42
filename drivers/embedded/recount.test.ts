import { join } from "node:path";
import { expect, it } from "vitest";
import { slotOf, streamKey } from "../../core/ingestion/log.ts";
import { LANE, STREAM, commitOf } from "../../tests/conformance/log-fixtures.ts";
import { tempDir } from "../../tests/helpers/temp-dir.ts";
import { StateStore } from "./state.ts";

it("a recount comes out after settlements were dropped with their events, and letters of those were redriven", async () => {
  const store = new StateStore(join(await tempDir(), "state"));
  try {
    await store.openLane(LANE, 5);
    const [claim] = await store.claim([slotOf(STREAM)]);
    for (let from = 5; from < 45; from += 10) {
      const exceptions = [
        { from, to: from + 2, outcome: "dead" as const },
        { from: from + 3, to: from + 6, outcome: "filtered" as const, reason: "bot" },
      ];
      const [result] = await store.commit([commitOf({ claim: claim!, from, to: from + 10, exceptions })]);
      expect(result?.status).toBe("fulfilled");
    }
    const expectSame = () => {
      const recount = store.recount(LANE);
      expect(recount?.recounted).toEqual(recount?.state);
      expect(recount?.deadLetters).toBe(recount?.state.dead);
    };
    expectSame();
    await store.discard([{ lane: LANE, sequence: 5 }], { at: 1, reason: "discarded" });
    for (const [end, letter] of [
      [16, 6],
      [27, 15],
      [45, 36],
    ] as const) {
      await store.forgetSettlements(new Map([[streamKey(STREAM), end]]));
      expectSame();
      await store.discard([{ lane: LANE, sequence: letter }], { at: 2, reason: "discarded" });
      expectSame();
    }
    expect(store.settlement(LANE, 5)).toBeUndefined();
    expect(store.settlement(LANE, 44)).toBeUndefined();
    expect(store.loadLane(LANE)).toMatchObject({ dead: 4, filtered: { bot: 12, discarded: 4 } });
  } finally {
    await store.close();
  }
});
