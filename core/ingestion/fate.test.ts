import { beforeEach, describe, expect, it } from "vitest";
import { openMemoryLog, type MemoryLog } from "../../drivers/memory/index.ts";
import { SimClock } from "../../tests/helpers/sim-clock.ts";
import { encodeParts } from "../canonical/codec.ts";
import { fateOf } from "./fate.ts";
import { FAILED_AGAIN, NOT_SELECTED } from "./jobs.ts";
import {
  type DeadLetter,
  type LaneId,
  type Redriven,
  type Settlement,
  type SettlementException,
  slotOf,
  type Stream,
} from "./log.ts";

const STREAM: Stream = { tenantId: "shop", partition: 0 };
const lane = (sink: string): LaneId => ({ stream: STREAM, sink });

let clock: SimClock;
let log: MemoryLog;
const fate = (idOrPosition: string, tenantId = "shop") => fateOf({ reader: log, lanes: log }, tenantId, idOrPosition);

async function append(...ids: string[]): Promise<void> {
  const entry = (eventId: string) => ({
    stream: STREAM,
    eventId,
    bytes: encodeParts({
      eventId,
      tenantId: "shop",
      eventType: "paid",
      source: "http",
      traceId: "tr",
      payload: Buffer.from("{}"),
    }),
  });
  await log.append(ids.map(entry));
}

async function settle(
  sink: string,
  settlement: Pick<Settlement, "from" | "to" | "exceptions">,
  deadLetters: DeadLetter[] = [],
) {
  const claims = await log.claims("worker");
  const abort = new AbortController();
  for await (const held of claims.held(abort.signal)) {
    const claim = held.find(({ slot }) => slot === slotOf(STREAM));
    if (claim === undefined) continue;
    const full = { ...settlement, configRevision: 3, settledAt: Date.UTC(2026, 0, 2) };
    const [result] = await log.commit([{ lane: lane(sink), claim, settlement: full, deadLetters }]);
    expect(result).toEqual({ status: "fulfilled", value: undefined });
    break;
  }
  abort.abort();
}

beforeEach(() => {
  clock = new SimClock();
  log = openMemoryLog({ clock });
});

describe("a fate", () => {
  it("is found by id and by position, with the receipt's own times", async () => {
    await append("e0", "e1");
    const story = {
      event_id: "e1",
      event_type: "paid",
      position: "shop/0/1",
      received_at: "2026-01-01T00:00:00.000Z",
      trace_id: "tr",
      lanes: [],
    };
    expect(await fate("e1")).toEqual(story);
    expect(await fate("shop/0/1")).toEqual(story);
  });

  it("is told to the event's own tenant alone", async () => {
    await append("e0");
    expect(await fate("e0", "other")).toBeUndefined();
    expect(await fate("shop/0/0", "other")).toBeUndefined();
  });

  it.each(["e9", "shop/0/1", "shop/7/0", "", "shop/0/0/0", "../shop"])("is unknown for %j", async (text) => {
    await append("e0");
    expect(await fate(text)).toBeUndefined();
  });

  it("of an id that looks like a position is that id's", async () => {
    await append("first", "shop/0/0");
    expect((await fate("shop/0/0"))?.event_id).toBe("shop/0/0");
  });

  it("tells every lane's outcome, ordered by sink", async () => {
    for (const sink of ["z_pending", "a_delivered", "b_filtered", "c_dead", "d_erased"])
      await log.openLane(lane(sink), "start");
    await append("e0", "e1", "e2");
    const only = (outcome: object) => ({
      from: 0,
      to: 3,
      exceptions: [{ from: 1, to: 2, ...outcome } as SettlementException],
    });
    await settle("a_delivered", { from: 0, to: 3, exceptions: [] });
    await settle("b_filtered", only({ outcome: "filtered", reason: "bot" }));
    await settle("c_dead", only({ outcome: "dead" }), [letter("c_dead", 1)]);
    await settle("d_erased", only({ outcome: "erased" }));
    const settled = { settled_at: "2026-01-02T00:00:00.000Z", config_revision: 3 };
    expect((await fate("e1"))?.lanes).toEqual([
      { sink: "a_delivered", status: "delivered", ...settled },
      { sink: "b_filtered", status: "filtered", reason: "bot", ...settled },
      {
        sink: "c_dead",
        status: "dead",
        ...settled,
        attempts: 2,
        dead_letter: { stage: "sink x", code: "23505", message: "no" },
      },
      { sink: "d_erased", status: "erased", ...settled },
      { sink: "z_pending", status: "pending" },
    ]);
    expect((await fate("e0"))?.lanes.map(({ status }) => status)).toEqual([
      "delivered",
      "delivered",
      "delivered",
      "delivered",
      "pending",
    ]);
  });

  it("leaves out lanes that began behind the event, and lanes of other partitions", async () => {
    await append("e0");
    await log.openLane(lane("late"), "tail");
    await log.openLane({ stream: { tenantId: "shop", partition: 1 }, sink: "elsewhere" }, "start");
    expect((await fate("e0"))?.lanes).toEqual([]);
  });

  it("says no more than settled when the settlement is gone", async () => {
    await log.openLane(lane("a"), "start");
    await append("e0");
    await settle("a", { from: 0, to: 1, exceptions: [] });
    const lanes = {
      lanes: () => log.lanes("shop"),
      settlement: async () => undefined,
      deadLetter: async () => undefined,
      jobLanes: async () => [],
      amendment: async () => undefined,
    };
    expect((await fateOf({ reader: log, lanes }, "shop", "e0"))?.lanes).toEqual([{ sink: "a", status: "settled" }]);
  });

  it("is unknown once the event was trimmed", async () => {
    await append("e0", "e1");
    await log.trim(STREAM, 1);
    expect(await fate("shop/0/0")).toBeUndefined();
    expect((await fate("e1"))?.event_id).toBe("e1");
  });
});

describe("what came after an event died", () => {
  const deadRun: SettlementException[] = [{ from: 0, to: 3, outcome: "dead" }];

  it("is told: redriven by a job, discarded, or failed again", async () => {
    await append("e0", "e1", "e2");
    await log.openLane(lane("raw"), "start");
    await settle(
      "raw",
      { from: 0, to: 3, exceptions: deadRun },
      [0, 1, 2].map((i) => letter("raw", i)),
    );
    await redrive([{ lane: lane("raw"), sequence: 0, outcome: { type: "delivered" } }]);
    await log.discard([{ lane: lane("raw"), sequence: 1 }], { at: Date.UTC(2026, 0, 4), reason: "discarded" });
    const at = "2026-01-03T00:00:00.000Z";
    expect((await fate("e0"))?.lanes).toMatchObject([
      {
        status: "delivered",
        config_revision: 8,
        amended: { at, job: "redrive-1" },
        jobs: [{ job: "redrive-1", status: "delivered", at, config_revision: 8 }],
      },
    ]);
    expect((await fate("e1"))?.lanes).toMatchObject([
      { status: "filtered", reason: "discarded", amended: { at: "2026-01-04T00:00:00.000Z" } },
    ]);
    expect((await fate("e1"))?.lanes[0]?.jobs).toBeUndefined();
    expect((await fate("e2"))?.lanes).toMatchObject([
      { status: "dead", dead_letter: { code: "23505" }, jobs: [{ job: "redrive-1", status: "failed" }] },
    ]);
  });

  async function redrive(redriven: Redriven[]): Promise<void> {
    const job = { ...lane("raw"), job: "redrive-1" };
    await log.openLane(job, 0);
    for await (const held of (await log.claims("worker")).held(new AbortController().signal)) {
      const claim = held.find(({ slot }) => slot === slotOf(STREAM));
      if (claim === undefined) continue;
      const exceptions: SettlementException[] = [
        { from: 1, to: 2, outcome: "filtered", reason: NOT_SELECTED },
        { from: 2, to: 3, outcome: "filtered", reason: FAILED_AGAIN },
      ];
      const settlement = { from: 0, to: 3, exceptions, configRevision: 8, settledAt: Date.UTC(2026, 0, 3) };
      const [result] = await log.commit([{ lane: job, claim, settlement, deadLetters: [], redriven }]);
      expect(result?.status).toBe("fulfilled");
      return;
    }
  }
});

function letter(sink: string, sequence: number): DeadLetter {
  const attempts = [
    { at: 1, reason: "no" },
    { at: 2, reason: "no" },
  ];
  const event = { eventId: "e1", eventType: "paid", receivedAt: 0, diedAt: 2, bytes: Buffer.from("{}") };
  return {
    lane: lane(sink),
    sequence,
    ...event,
    stage: "sink x",
    code: "23505",
    message: "no",
    fingerprint: "0011223344556677",
    attempts,
    configRevision: 3,
    plugins: {},
  };
}
