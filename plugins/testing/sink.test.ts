import { describe, expect, test } from "vitest";
import type { CanonicalEvent, SinkDefinition, SinkOutcome, SinkPlugin } from "../contract.ts";
import { type SinkTarget, sinkChecks } from "./sink.ts";

const ORDER = "keeps the order of a batch when it claims to, also when it is cut off in the middle";
const HALF = 250;

/** Stores into a list; `isBroken`: its connection breaks in the middle of the next batch. */
class Store {
  readonly ids: string[] = [];
  isBroken = false;
}

type Deliver = (store: Store, events: readonly CanonicalEvent[]) => readonly SinkOutcome[];

/** What becomes of the order's check for a sink that claims to keep it. */
async function checked(deliver: Deliver, plugin: Partial<SinkPlugin> = { keepsOrder: true }): Promise<unknown> {
  const store = new Store();
  const definition: SinkDefinition = {
    kind: "sink",
    name: "claims",
    version: "1.0.0",
    summary: "Claims an order.",
    create: () => ({
      name: "claims",
      version: "1.0.0",
      send: async (event) => deliver(store, [event])[0] as SinkOutcome,
      sendBatch: async (events, { signal }) => {
        await Promise.resolve();
        store.isBroken ||= signal.aborted;
        return deliver(store, events);
      },
      ...plugin,
    }),
  };
  const target: SinkTarget = {
    config: {},
    ordered: true,
    stored: async () => store.ids.map((eventId) => ({ eventId })),
    async breakNextDelivery() {
      store.isBroken = true;
      return async () => void (store.isBroken = false);
    },
    close: async () => undefined,
  };
  const order = sinkChecks({ definition, target: async () => target }).find(({ name }) => name === ORDER);
  return await order?.run().catch((error: unknown) => (error as Error).message);
}

const OK: SinkOutcome = { type: "ok" };
const RETRY: SinkOutcome = { type: "retry", reason: "broken", unavailable: true };

function idsOf(events: readonly CanonicalEvent[]): string[] {
  return events.map(({ event_id }) => event_id);
}

/** Whether this call is cut off; the one after it is not. */
function cutOff(store: Store): boolean {
  const { isBroken } = store;
  store.isBroken = false;
  return isBroken;
}

describe("the check of a sink's order", () => {
  test("passes one that stores the beginning of a batch that is cut off", async () => {
    const honest: Deliver = (store, events) => {
      const upTo = cutOff(store) ? HALF : events.length;
      store.ids.push(...idsOf(events.slice(0, upTo)));
      return events.map((_, i) => (i < upTo ? OK : RETRY));
    };
    expect(await checked(honest)).toBeUndefined();
  });

  test("passes one that stored a whole batch and lost the answer", async () => {
    const unheard: Deliver = (store, events) => {
      store.ids.push(...idsOf(events));
      return events.map(() => (store.isBroken ? RETRY : OK));
    };
    const healing: Deliver = (store, events) => {
      const outcomes = unheard(store, events);
      store.isBroken = false;
      return outcomes;
    };
    expect(await checked(healing)).toBeUndefined();
  });

  test("finds one that stores a batch by its ids", async () => {
    const sorted: Deliver = (store, events) => {
      store.ids.push(...idsOf(events).toSorted());
      return events.map(() => OK);
    };
    expect(await checked(sorted)).toContain("stored in another order than that of the batch");
  });

  test("finds one that goes on behind an event that it did not take", async () => {
    const skipping: Deliver = (store, events) => {
      const skipped = cutOff(store) ? HALF : -1;
      store.ids.push(...idsOf(events.filter((_, i) => i !== skipped)));
      return events.map((_, i) => (i === skipped ? RETRY : OK));
    };
    expect(await checked(skipping)).toBe("event 500 of the batch is `ok`, and one before it, 251, `retry`");
  });

  test("finds one that stored what it does not claim behind what it did not take", async () => {
    const hasty: Deliver = (store, events) => {
      if (!cutOff(store)) {
        store.ids.push(...idsOf(events));
        return events.map(() => OK);
      }
      store.ids.push(...idsOf(events.slice(HALF)));
      return events.map(() => RETRY);
    };
    expect(await checked(hasty)).toBe("event 500 of the batch is stored, and one before it, 1, is not");
  });

  test("finds a claim about batches of a sink that takes none", async () => {
    expect(await checked(() => [OK], { keepsOrder: true, sendBatch: undefined })).toContain("which the sink lacks");
  });

  test("passes over one that claims nothing, and says so", async () => {
    expect(await checked(() => [OK], {})).toBe("the sink claims no order (`keepsOrder`)");
  });
});
