import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeParts } from "../../core/canonical/codec.ts";
import { slotOf } from "../../core/ingestion/log.ts";
import type { DeadLetter, LaneId } from "../../core/ingestion/log.ts";
import { openMemoryLog } from "../../drivers/memory/index.ts";
import type { MemoryLog } from "../../drivers/memory/index.ts";
import { systemClock } from "../../observability/system-clock.ts";
import { startAdminGate, TOKENS } from "../../tests/helpers/admin-gate.ts";
import type { AdminGate } from "../../tests/helpers/admin-gate.ts";
import { pulsegate } from "../../tests/helpers/cli.ts";
import { writeRuntimeFile } from "../runtime-file.ts";

const LANE: LaneId = { stream: { tenantId: "shop", partition: 0 }, sink: "raw" };
/** With a number that a parse would lose, and a member that looks like the record's own. */
const PAYLOAD = '{"big":12345678901234567890,"event":{"received_at":"x"}}';
let folder: string;
let log: MemoryLog;
let gate: AdminGate;
let imbalance = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pulsegate-admin-"));
  log = openMemoryLog({ clock: systemClock });
  const lanes = async (tenant?: string) =>
    (await log.lanes(tenant)).map(({ lane, state }) => ({
      lane,
      state: { ...state, delivered: state.delivered + imbalance },
    }));
  gate = await startAdminGate({ log, ports: () => ({ lanes: viewOf(log, lanes) }) });
  await writeRuntimeFile(folder, {
    pid: process.pid,
    dataUrl: "http://127.0.0.1:9",
    opsUrl: gate.url,
    adminToken: TOKENS.admin,
  });
  await fill();
});

afterAll(async () => {
  await gate.close();
  await log.close();
  await rm(folder, { recursive: true });
});

/** The log, but for its lanes. */
function viewOf(real: MemoryLog, lanes: MemoryLog["lanes"]): MemoryLog {
  return new Proxy(real, {
    get: (target, name) => {
      const member: unknown = name === "lanes" ? lanes : target[name as keyof MemoryLog];
      return typeof member === "function" ? member.bind(target) : member;
    },
  });
}

/** Events 0, 1 and 2: dead, dead with a hostile message, pending. */
async function fill(): Promise<void> {
  await log.openLane(LANE, "start");
  for (const eventId of ["e0", "e1", "e2"]) {
    const parts = { eventId, tenantId: "shop", eventType: "order", source: "http" as const };
    await log.append([
      { stream: LANE.stream, eventId, bytes: encodeParts({ ...parts, payload: Buffer.from(PAYLOAD) }) },
    ]);
  }
  const entries = await log.read(LANE.stream, 0, { entries: 2, bytes: 1e6 });
  const stop = new AbortController();
  for await (const held of (await log.claims("w")).held(stop.signal)) {
    const claim = held.find((one) => one.slot === slotOf(LANE.stream));
    if (claim === undefined) continue;
    const exceptions = [{ from: 0, to: 2, outcome: "dead" as const }];
    const settlement = { from: 0, to: 2, exceptions, configRevision: 1, settledAt: 2_000 };
    const deadLetters = entries.map(({ sequence, receivedAt, bytes }) =>
      letter({ sequence, receivedAt, bytes: sequence === 1 ? Buffer.from([0xff, 0x22]) : bytes }),
    );
    await log.commit([{ lane: LANE, claim, settlement, deadLetters }]);
    break;
  }
  stop.abort();
}

function letter(of: Pick<DeadLetter, "sequence" | "receivedAt" | "bytes">): DeadLetter {
  return {
    ...of,
    lane: LANE,
    eventId: `e${of.sequence}`,
    eventType: "order",
    diedAt: 2_000,
    stage: "sink postgres_sink",
    code: "23514",
    message: of.sequence === 0 ? "violates a check" : "evil \u001b[2J message",
    fingerprint: "0011223344556677",
    attempts: [{ at: 1_000, reason: "violates a check" }],
    configRevision: 1,
    plugins: { postgres_sink: "1.0.0" },
  };
}

function run(...args: readonly string[]) {
  return pulsegate([...args, "--data", folder]);
}

describe("events get", () => {
  test.each([["e0"], ["shop/0/0"]])("tells the fate of %s", async (id) => {
    const result = await run("events", "get", id);
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(result.stdout).toMatch(/^position +shop\/0\/0$/m);
    expect(result.stdout).toMatch(/^raw +dead .* 1 +23514 violates a check$/m);
  });

  test("prints JSON, and fails for an event that nobody has", async () => {
    const json = JSON.parse((await run("events", "get", "e2", "--tenant", "shop", "--json")).stdout);
    expect(json).toMatchObject({ event_id: "e2", lanes: [{ sink: "raw", status: "pending" }] });
    expect((await run("events", "get", "e9")).code).toBe(1);
    expect((await run("events", "get", "shop/0/9")).code).toBe(1);
  });
});

describe("dlq", () => {
  test("redrives nothing, and says so, when no letter has the id", async () => {
    const result = await run("dlq", "redrive", "shop/0/raw/99", "--yes");
    expect(result).toMatchObject({ code: 1, stdout: "" });
    expect(result.stderr).toContain("1 of the 1 that are named are no dead letters");
    const [job] = JSON.parse((await run("replay", "list", "--json")).stdout).items;
    expect(job).toMatchObject({ state: "cancelled", events: 0 });
  });

  test("redrives nothing, and says so, when no letter is of the kind", async () => {
    const result = await run("dlq", "redrive", "--tenant", "shop", "--fingerprint", "ffffffffffffffff", "--yes");
    expect(result).toMatchObject({ code: 1, stdout: "" });
    expect(result.stderr).toBe(
      "error: there is nothing to redrive\n  why: tenant shop has no dead letter like this\n  next: pulsegate dlq groups\n",
    );
    const [job] = JSON.parse((await run("replay", "list", "--json")).stdout).items;
    expect(job).toMatchObject({ state: "cancelled", events: 0 });
  });

  test("show says what an id looks like to whoever gave none", async () => {
    const { code, stderr } = await run("dlq", "show", "nonsense");
    expect([code, stderr]).toEqual([2, expect.stringMatching(/nonsense is no id.*\n {2}next: ids look like demo\/0/)]);
  });

  test("list goes page by page", async () => {
    const first = await run("dlq", "list", "--limit", "1");
    expect(first.stdout).toContain("shop/0/raw/0");
    expect(first.stderr).toContain("more: add --after shop/0/raw/0");
    const second = await run("dlq", "list", "--limit", "1", "--after", "shop/0/raw/0");
    expect([second.stdout.includes("shop/0/raw/1"), second.stderr]).toEqual([true, ""]);
    // Piped: one line each, nothing fitted to a width.
    expect(second.stdout.trimEnd().split("\n")).toHaveLength(3);
    expect((await run("dlq", "list", "--sink", "other")).stdout).toBe("There are no dead letters.\n");
  });

  test("what a sink said does not reach the terminal as control characters", async () => {
    for (const args of [["list"], ["show", "shop/0/raw/1"]]) {
      const { stdout } = await run("dlq", ...args);
      expect(stdout).toContain("\\u001b[2J");
      expect(stdout).not.toContain("\u001b");
    }
  });

  test("show tells all and keeps the event byte for byte", async () => {
    const shown = await run("dlq", "show", "shop/0/raw/0");
    expect(shown.stdout).toContain(`"payload":${PAYLOAD}}`);
    expect(shown.stdout).toMatch(/^plugins +postgres_sink 1.0.0$/m);
    expect((await run("dlq", "show", "shop/0/raw/0", "--json")).stdout).toContain(`"payload":${PAYLOAD}}`);
    expect((await run("dlq", "show", "shop/0/raw/2")).code).toBe(1);
  });

  test("show gives bytes that are no event as base64", async () => {
    expect((await run("dlq", "show", "shop/0/raw/1")).stdout).toMatch(/^event_base64 +\/yI=$/m);
    expect(JSON.parse((await run("dlq", "show", "shop/0/raw/1", "--json")).stdout).event_base64).toBe("/yI=");
  });
});

describe("lanes and the ledger", () => {
  test("lanes are listed with their lag", async () => {
    expect((await run("lanes", "list")).stdout).toMatch(/^shop\/0\/raw +running +2 +3 +1\b/m);
    expect(JSON.parse((await run("lanes", "list", "--json")).stdout).items).toHaveLength(1);
    expect((await run("lanes", "list", "--tenant", "nobody")).stdout).toMatch(/^There are no lanes/);
  });

  test("a lane whose sink is gone is dropped, once that is confirmed", async () => {
    await log.openLane({ ...LANE, sink: "old" }, "start");
    expect((await run("lanes", "list")).stdout).toMatch(/^shop\/0\/old +orphan +0 +3 +3$/m);
    const unconfirmed = await run("lanes", "drop", "shop/0/old");
    expect([unconfirmed.code, unconfirmed.stderr]).toEqual([
      2,
      expect.stringMatching(/why: 3 undelivered event.*--yes/s),
    ]);
    const dropped = await run("lanes", "drop", "shop/0/old", "--yes");
    expect([dropped.code, dropped.stdout]).toEqual([
      0,
      "dropped shop/0/old: 3 event(s) and 0 dead letter(s) given up\n",
    ]);
    expect((await run("lanes", "drop", "shop/0/old", "--yes")).stderr).toMatch(/there is no lane shop\/0\/old/);
  });

  test("a lane that is in use is not dropped", async () => {
    const result = await run("lanes", "drop", "shop/0/raw", "--yes");
    expect([result.code, result.stderr]).toEqual([1, expect.stringMatching(/^error: 409 .*take its sink out/s)]);
  });

  test("the ledger and its audit name the lanes of one sink apart, where it has several", async () => {
    const second: LaneId = { ...LANE, stream: { ...LANE.stream, partition: 1 } };
    await log.openLane(second, "start");
    try {
      for (const args of [["ledger"], ["ledger", "--audit"]]) {
        const { code, stdout } = await run(...args);
        expect([code, stdout.match(/^shop\/\d\/raw/gm)]).toEqual([0, ["shop/0/raw", "shop/1/raw"]]);
      }
    } finally {
      await log.dropLane(second);
    }
    expect((await run("ledger", "--audit")).stdout).toMatch(/^shop +raw /m);
  });

  test("a balanced ledger ends with 0, one that is not with 1", async () => {
    const balanced = await run("ledger");
    expect([balanced.code, balanced.stdout.split("\n").at(2)]).toEqual([
      0,
      expect.stringMatching(/^shop +raw +3 +0 +0 +2 +1 +0$/),
    ]);
    imbalance = 1;
    const wrong = await run("ledger", "--json");
    imbalance = 0;
    expect(wrong.code).toBe(1);
    expect(JSON.parse(wrong.stdout).items[0].imbalance).toBe(-1);
    expect(wrong.stderr).toContain("1 lane(s) do not balance");
  });

  test("storage tells how much is kept of which tenant, and what bounds the log's files", async () => {
    const bytes = await gate.log.storedBytes(LANE.stream);
    const shown = await run("storage");
    expect([shown.code, shown.stdout.split("\n").at(2)]).toEqual([
      0,
      expect.stringMatching(new RegExp(`^shop +3 +${bytes} +0\\.0$`)),
    ]);
    gate.log.diskUse = async () => ({
      usedBytes: 3e9,
      isFreeing: false,
      bytesMax: 4 * 2 ** 30,
      fullAtBytes: 3.875 * 2 ** 30,
    });
    expect((await run("storage")).stdout).toContain("take up 2861.0 MiB; at 3968.0 of 4096.0 MiB nothing more");
    const { items, disk } = JSON.parse((await run("storage", "--json")).stdout);
    expect(items).toEqual([{ tenant: "shop", events: 3, bytes }]);
    expect(disk).toEqual({ used_bytes: 3e9, full_at_bytes: 3.875 * 2 ** 30, bytes_max: 4 * 2 ** 30 });
  });

  test("a wrong token is told as such, with 1", async () => {
    const env = { PULSEGATE_ADMIN_URL: gate.url, PULSEGATE_ADMIN_TOKEN: "wrong" };
    const result = await pulsegate(["ledger"], { env });
    expect([result.code, result.stderr]).toEqual([1, expect.stringMatching(/^error: 401 .*PULSEGATE_ADMIN_TOKEN/s)]);
  });
});
