import { appendFile, mkdir, mkdtemp, readFile, rename, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { contextOf, eventOf, eventsOf, type SinkFixture, sinkConformance } from "../../../tests/conformance/sink.ts";
import { tempDir } from "../../../tests/helpers/temp-dir.ts";
import { encodeEvent, type SinkPlugin } from "../../contract.ts";
import plugin from "./index.ts";

async function fileSink(path: string): Promise<SinkPlugin> {
  const sink = plugin.create();
  await sink.init?.(plugin.config.parse({ path }));
  return sink;
}

async function linesOf(path: string): Promise<string[]> {
  const text = await readFile(path, "utf8").catch(() => "");
  return text.split("\n").filter((line) => line !== "");
}

async function fixture(): Promise<SinkFixture> {
  const folder = await mkdtemp(join(tmpdir(), "pulsegate-file-sink-"));
  const home = join(folder, "home");
  const path = join(home, "events.ndjson");
  await mkdir(home);
  return {
    sink: await fileSink(path),
    async stored() {
      const events = (await linesOf(path)).map((line) => JSON.parse(line) as { event_id: string; payload: unknown });
      return events.map((event) => ({ eventId: event.event_id, payload: JSON.stringify(event.payload) }));
    },
    async outage() {
      await rename(home, `${home}.away`);
      return () => rename(`${home}.away`, home);
    },
    close: () => rm(folder, { recursive: true, force: true }),
  };
}

sinkConformance("file_sink", { keyed: false, ordered: true, remote: false }, fixture);

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

test("makes a file that only its owner reads", async () => {
  const path = join(await tempDir(), "events.ndjson");
  const sink = await fileSink(path);
  await sink.send(eventOf(1), contextOf());
  await sink.close?.();
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});
