import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { decodeEvent, payloadOf } from "../../core/canonical/codec.ts";
import { PulseGateError } from "../../core/canonical/errors.ts";
import type { LogWriter } from "../../core/ingestion/log.ts";
import { pulsegate, spawnPulsegate } from "../../tests/helpers/cli.ts";
import { startGate } from "../../tests/helpers/http-gate.ts";
import type { Gate, GateOptions } from "../../tests/helpers/http-gate.ts";
import { writeRuntimeFile } from "../runtime-file.ts";
import { lineEventId, statePath } from "./send-state.ts";
import { withMember } from "./send-text.ts";

const STREAM = { tenantId: "shop", partition: 0 };
let folder: string;
let gate: Gate;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pulsegate-send-"));
});

afterEach(async () => {
  await gate.close();
  await rm(folder, { recursive: true });
});

/** A door whose address and key lie in the data folder, as a dev instance leaves them. */
async function open(options: GateOptions = {}): Promise<void> {
  gate = await startGate(options);
  await writeRuntimeFile(folder, {
    pid: process.pid,
    dataUrl: gate.url,
    opsUrl: "http://127.0.0.1:9",
    adminToken: "t",
    key: "shop-key",
  });
}

function send(...args: readonly string[]) {
  return pulsegate(["send", "--data", folder, ...args]);
}

async function stored() {
  const entries = await gate.log.read(STREAM, 0, { entries: 100_000, bytes: 1e9 });
  return entries.map(({ bytes }) => ({ event: decodeEvent(bytes), payload: payloadOf(bytes).toString() }));
}

async function fileOf(lines: readonly string[]): Promise<string> {
  const path = join(folder, "events.ndjson");
  await writeFile(path, `${lines.join("\n")}\n`);
  return path;
}

function numbered(count: number): string[] {
  return Array.from({ length: count }, (_, n) => `{"event_type":"t","n":${n}}`);
}

/** Stands between the door and the log, and does something at the n-th append. */
function atAppend(n: number, act: () => Promise<void>): GateOptions {
  let appends = 0;
  return {
    writer: (log): LogWriter => ({
      append: async (entries) => {
        appends++;
        if (appends === n) await act();
        return log.append(entries);
      },
      probe: () => log.probe(),
    }),
  };
}

describe("one event", () => {
  test("is stored byte for byte, and says where", async () => {
    await open();
    const result = await send('{"event_type":"a","big":12345678901234567890}');
    expect(result).toMatchObject({ code: 0, stderr: "", stdout: expect.stringMatching(/^stored .* at shop\/0\/0\n/) });
    expect((await stored()).map((one) => one.payload)).toEqual(['{"big":12345678901234567890}']);
  });

  test("sent twice under one id is stored once", async () => {
    await open();
    await send('{"event_type":"a","event_id":"x"}');
    expect((await send('{"event_type":"a","event_id":"x"}')).stdout).toMatch(/^already stored/);
    expect(JSON.parse((await send('{"event_type":"a","event_id":"x"}', "--json")).stdout).duplicate).toBe(true);
    expect(await gate.stored()).toBe(1);
  });

  test("takes its type from --type", async () => {
    await open();
    await send("--type", "order_paid", '{"n":1}');
    expect((await stored()).map(({ event }) => event.event_type)).toEqual(["order_paid"]);
  });

  test("that is refused ends with 1 and the server's own words", async () => {
    await open();
    const result = await send('{"event_type":"a b"}');
    expect([result.code, result.stderr]).toEqual([1, expect.stringMatching(/^error: 422 .*\n {2}why: \/event_type: /)]);
    expect((await send("--key", "wrong", "{}")).stderr).toContain("check the token");
  });
});

describe("a file", () => {
  test("is sent whole and in order, and the state beside it is gone", async () => {
    await open();
    const file = await fileOf(numbered(2_500));
    const result = await send("--file", file);
    expect(result).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^2500 stored, 0 already there, 0 refused/),
    });
    expect((await stored()).map(({ event }) => event.payload.n)).toEqual(Array.from({ length: 2_500 }, (_, n) => n));
    expect(existsSync(statePath(file))).toBe(false);
  });

  test("with bad lines stores the good ones and tells the lines, with 1", async () => {
    await open();
    const file = await fileOf(['{"event_type":"a"}', "", "not json", '{"event_type":"b","event_id":"own"}', '{"n":1}']);
    const result = await send("--file", file);
    expect(result.code).toBe(1);
    expect(result.stdout).toMatch(/^2 stored, 0 already there, 2 refused/);
    expect(result.stdout).toMatch(/^3 +malformed_json/m);
    expect(result.stdout).toMatch(/^5 +invalid_event +\/event_type/m);
    expect((await stored()).map(({ event }) => event.event_id)).toContain("own");
    const json = JSON.parse((await send("--file", file, "--json")).stdout);
    expect(json).toMatchObject({ lines: 5, accepted: 1, duplicates: 1, rejected: 2 });
  });

  test("that was interrupted goes on where it stopped, each line stored once", async () => {
    let reached = (): void => {};
    const third = new Promise<void>((resolve) => {
      reached = resolve;
    });
    await open(atAppend(3, async () => reached()));
    const file = await fileOf(numbered(5_000));
    const running = spawnPulsegate(["send", "--data", folder, "--file", file]);
    await third;
    running.child.kill("SIGINT");
    const first = await running.finished;
    expect(first.code).toBe(130);
    expect(first.stderr).toMatch(/interrupted after line \d+ .*\n {2}next: run the same command again/);
    const second = await send("--file", file);
    expect(second.code).toBe(0);
    expect(second.stderr).toMatch(/^going on at line \d+/);
    expect(new Set((await stored()).map(({ event }) => event.payload.n)).size).toBe(5_000);
    expect(await gate.stored()).toBe(5_000);
  });

  test.each([1, 3])("whose sender was killed at request %i is stored once as well", async (n) => {
    let reached = (): void => {};
    const there = new Promise<void>((resolve) => {
      reached = resolve;
    });
    await open(atAppend(n, async () => reached()));
    const file = await fileOf(numbered(5_000));
    const running = spawnPulsegate(["send", "--data", folder, "--file", file]);
    await there;
    running.child.kill("SIGKILL");
    await running.finished;
    expect((await send("--file", file)).code).toBe(0);
    expect(await gate.stored()).toBe(5_000);
  });

  test("sent anew after it was done is a new sending", async () => {
    await open();
    const file = await fileOf(numbered(3));
    await send("--file", file);
    expect((await send("--file", file)).stdout).toMatch(/^3 stored/);
  });

  test("waits for a log that can't take events now", async () => {
    let failures = 2;
    await open({
      writer: (log): LogWriter => ({
        append: (entries) =>
          failures-- > 0
            ? Promise.reject(new PulseGateError("log_full", "no space", { retryAfterMs: 1 }))
            : log.append(entries),
        probe: () => log.probe(),
      }),
    });
    const result = await send("--file", await fileOf(numbered(10)));
    expect([result.code, await gate.stored()]).toEqual([0, 10]);
  });

  test("is cut to what the server takes, down to the one line that is too large", async () => {
    await open({ limits: { batchEventsMax: 7, eventBytesMax: 2_048, batchBytesMax: 4_096 } });
    const lines = [...numbered(40), `{"event_type":"t","text":"${"x".repeat(5_000)}"}`, ...numbered(2)];
    const result = await send("--file", await fileOf(lines));
    expect(result.stdout).toMatch(/^42 stored, 0 already there, 1 refused/);
    expect(result.stdout).toMatch(/^41 +(event|body)_too_large/m);
  });

  test("that isn't there is told as such", async () => {
    await open();
    const result = await send("--file", join(folder, "nothing"));
    expect([result.code, result.stderr]).toEqual([1, expect.stringContaining("can't read")]);
  });

  test("may come from standard input", async () => {
    await open();
    const result = await pulsegate(["send", "--data", folder, "--file", "-"], { input: numbered(3).join("\r\n") });
    expect([result.code, await gate.stored()]).toEqual([0, 3]);
  });
});

describe("ids and members", () => {
  beforeEach(() => open());

  test("a line's id is a UUID of its sending and its number", () => {
    expect(lineEventId("a", 1)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(lineEventId("a", 1)).toBe(lineEventId("a", 1));
    expect(new Set([lineEventId("a", 1), lineEventId("a", 2), lineEventId("b", 1)]).size).toBe(3);
  });

  test.each([
    ["{}", '{"k":"v"}'],
    [' { "a":1.10 }', '{"k":"v", "a":1.10 }'],
    ["[1]", "[1]"],
    ["nonsense", "nonsense"],
  ])("a member is put into %s and nothing else is touched", (text, expected) => {
    expect(withMember(text, "k", "v")).toBe(expected);
  });
});
