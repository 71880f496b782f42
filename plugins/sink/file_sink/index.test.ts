import { appendFile, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { sinkConformance } from "../../../tests/conformance/sink.ts";
import { eventOf, eventsOf } from "../../../tests/helpers/sink-events.ts";
import { tempDir } from "../../../tests/helpers/temp-dir.ts";
import { until } from "../../../tests/helpers/until.ts";
import { encodeEvent, type SinkPlugin } from "../../contract.ts";
import { contextOf } from "../../testing/events.ts";
import { fileTarget } from "./conformance.ts";
import plugin from "./index.ts";

async function fileSink(path: string, options: Record<string, unknown> = {}): Promise<SinkPlugin> {
  const sink = plugin.create();
  await sink.init?.(plugin.config.parse({ path, ...options }));
  return sink;
}

async function linesOf(path: string): Promise<string[]> {
  const text = await readFile(path, "utf8").catch(() => "");
  return text.split("\n").filter((line) => line !== "");
}

sinkConformance(
  { definition: plugin, target: fileTarget },
  ["breakNextDelivery", "permanentFault", "badPayload"].map((what) => `the target has no ${what}`),
);

test("writes the canonical bytes of each event as one line", async () => {
  const path = join(await tempDir(), "events.ndjson");
  const sink = await fileSink(path);
  const event = eventOf(1, '{"big":12345678901234567890.10,"text":"a\\u0000\\ud800\\n"}');
  await sink.send(event, contextOf());
  await sink.close?.();
  expect(await readFile(path, "utf8")).toBe(`${encodeEvent(event).toString()}\n`);
});

test("starts on a new line after a line that a crash cut", async () => {
  const path = join(await tempDir(), "events.ndjson");
  await appendFile(path, '{"event_id":"whole"}\n{"event_id":"to');
  const sink = await fileSink(path);
  await sink.sendBatch?.(eventsOf(2), contextOf());
  await sink.close?.();
  const lines = await linesOf(path);
  expect(lines[1]).toBe('{"event_id":"to');
  expect(lines.slice(2).map((line) => JSON.parse(line).event_id)).toEqual(["event-1", "event-2"]);
});

test("starts on a new line after a line that another writer of the file could not end", async () => {
  const path = join(await tempDir(), "events.ndjson");
  const sink = await fileSink(path);
  await sink.send(eventOf(1), contextOf());
  await appendFile(path, '{"received_at":"20');
  await sink.send(eventOf(2), contextOf());
  await sink.close?.();
  expect((await linesOf(path)).map((line) => line.endsWith("}"))).toEqual([true, false, true]);
});

test("keeps batches that are sent at the same time apart and in order", async () => {
  const path = join(await tempDir(), "events.ndjson");
  const sink = await fileSink(path);
  await Promise.all([sink.sendBatch?.(eventsOf(300), contextOf()), sink.sendBatch?.([eventOf(301)], contextOf())]);
  await sink.close?.();
  expect((await linesOf(path)).map((line) => JSON.parse(line).payload.n)).toEqual(eventsOf(301).map((_, i) => i + 1));
});

test("goes on after the file was closed under it", async () => {
  const path = join(await tempDir(), "events.ndjson");
  const sink = await fileSink(path);
  await sink.send(eventOf(1), contextOf());
  await sink.close?.();
  expect(await sink.send(eventOf(2), contextOf())).toEqual({ type: "ok" });
  await sink.close?.();
  expect((await linesOf(path)).length).toBe(2);
});

test("goes on after an event that can't be written down", async () => {
  const path = join(await tempDir(), "events.ndjson");
  const sink = await fileSink(path);
  const spoiled = { ...eventOf(1), payload: { big: 1n } };
  await expect(sink.send(spoiled, contextOf())).rejects.toThrow(TypeError);
  expect(await sink.send(eventOf(2), contextOf())).toEqual({ type: "ok" });
  await sink.close?.();
});

test("makes a file that only its owner reads", async () => {
  const path = join(await tempDir(), "events.ndjson");
  const sink = await fileSink(path);
  await sink.send(eventOf(1), contextOf());
  await sink.close?.();
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

describe("rotation", () => {
  const numbersIn = async (path: string) => (await linesOf(path)).map((line) => JSON.parse(line).payload.n as number);

  /** Files of the folder in order of their names, the one in use last. */
  async function filesOf(path: string): Promise<string[]> {
    const folder = join(path, "..");
    const aside = (await readdir(folder)).filter((name) => name.startsWith("events-")).sort();
    return [...aside.map((name) => join(folder, name)), path];
  }

  test("sets a file aside before it would grow too large, and loses and repeats nothing", async () => {
    const path = join(await tempDir(), "events.ndjson");
    const lineBytes = encodeEvent(eventOf(1)).length + 1;
    const sink = await fileSink(path, { rotate_bytes: lineBytes * 25 });
    for (let at = 0; at < 100; at += 10) await sink.sendBatch?.(eventsOf(100).slice(at, at + 10), contextOf());
    await sink.close?.();
    const files = await filesOf(path);
    expect(files.length).toBeGreaterThan(4);
    for (const file of files.slice(0, -1)) {
      expect(file).toMatch(/events-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}Z-[0-9a-f]{8}\.ndjson$/);
      expect((await stat(file)).size).toBeLessThanOrEqual(lineBytes * 25);
    }
    const numbers = (await Promise.all(files.map(numbersIn))).flat();
    expect(numbers.sort((a, b) => a - b)).toEqual(eventsOf(100).map((_, i) => i + 1));
  });

  test("writes a batch that is larger than a file whole, into a file of its own", async () => {
    const path = join(await tempDir(), "events.ndjson");
    const sink = await fileSink(path, { rotate_bytes: 10 });
    await sink.sendBatch?.(eventsOf(3), contextOf());
    await sink.send(eventOf(4), contextOf());
    await sink.close?.();
    const files = await filesOf(path);
    expect(await Promise.all(files.map(numbersIn))).toEqual([[1, 2, 3], [4]]);
  });

  test("sets a file aside when it is old enough", async () => {
    const path = join(await tempDir(), "events.ndjson");
    const sink = await fileSink(path, { rotate_secs: 1 });
    await sink.send(eventOf(1), contextOf());
    const files = await until(async () => {
      await sink.send(eventOf(2), contextOf());
      const all = await filesOf(path);
      return all.length > 1 ? all : undefined;
    }, "a second file");
    await sink.close?.();
    expect((await numbersIn(files[0] as string))[0]).toBe(1);
    expect(await numbersIn(path)).toEqual([2]);
  });

  test("goes on with an old file after a restart, and with its size", async () => {
    const path = join(await tempDir(), "events.ndjson");
    await appendFile(path, '{"payload":{"n":0}}\n'.repeat(10));
    const sink = await fileSink(path, { rotate_bytes: 200 });
    await sink.send(eventOf(1), contextOf());
    await sink.close?.();
    expect((await Promise.all((await filesOf(path)).map(numbersIn))).map((numbers) => numbers.length)).toEqual([10, 1]);
  });

  test("by another hand is noticed before the next batch", async () => {
    const path = join(await tempDir(), "events.ndjson");
    const sink = await fileSink(path);
    await sink.send(eventOf(1), contextOf());
    await rename(path, `${path}.1`);
    expect(await sink.send(eventOf(2), contextOf())).toEqual({ type: "ok" });
    await rm(path);
    expect(await sink.send(eventOf(3), contextOf())).toEqual({ type: "ok" });
    await sink.close?.();
    expect(await numbersIn(`${path}.1`)).toEqual([1]);
    expect(await numbersIn(path)).toEqual([3]);
  });

  test("by several writers of one file loses no line", async () => {
    const path = join(await tempDir(), "events.ndjson");
    const sinks = await Promise.all([1, 2, 3].map(() => fileSink(path, { rotate_bytes: 2_000 })));
    const events = eventsOf(300);
    await Promise.all(
      sinks.map(async (sink, which) => {
        for (let at = which * 100; at < which * 100 + 100; at += 5)
          expect((await sink.sendBatch?.(events.slice(at, at + 5), contextOf()))?.[4]).toEqual({ type: "ok" });
      }),
    );
    for (const sink of sinks) await sink.close?.();
    const numbers = (await Promise.all((await filesOf(path)).map(numbersIn))).flat();
    expect(numbers.sort((a, b) => a - b)).toEqual(events.map((_, i) => i + 1));
  });
});
