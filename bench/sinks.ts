/**
 * The sinks alone, each against the least that its target asks for, in turn in one run:
 * webhook_sink (sign, guard, judge) against a bare loop of the same HTTP client to the same server;
 * file_sink against appending the same bytes and syncing them, batch by batch;
 * kafka_sink against a bare producer of the same client to the same broker (left out without Java and Maven).
 */
import { mkdtempSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { compatibilityPartitioner, Producer } from "@platformatic/kafka";
import { Agent } from "undici";
import { decodeEvent, encodeParts, payloadOf, stampReceivedAt } from "../core/canonical/codec.ts";
import type { PluginContext, SinkDefinition, SinkPlugin } from "../plugins/contract.ts";
import fileSink from "../plugins/sink/file_sink/index.ts";
import kafkaSink from "../plugins/sink/kafka_sink/index.ts";
import webhookSink from "../plugins/sink/webhook_sink/index.ts";
import { startTestKafka, type TestKafka } from "../tests/helpers/kafka.ts";
import { eventJson } from "./lib/events.ts";
import { start } from "./lib/process.ts";
import { round, spread } from "./lib/stats.ts";

const PAYLOAD_BYTES = 500;
const CONCURRENCY = 16;
const BATCH = 1_000;
const KEY = Buffer.from("01980000-0000-7000-8000-000000000000");

interface Sample {
  readonly eventsPerSecond: number;
  /** Of this process: the client, not the server. */
  readonly cpuMicrosPerEvent: number;
}

/** Delivers one batch. */
type Deliver = (batch: readonly Buffer[]) => Promise<void>;

export async function sinks({
  rounds,
  seconds,
}: {
  readonly rounds: number;
  readonly seconds: number;
}): Promise<unknown> {
  const batch = Array.from({ length: BATCH }, (_, n) => canonicalBytes(n));
  const run = { batch, rounds, seconds };
  const results = { webhook: await webhook(run), file: await file(run), kafka: await kafka(run) };
  return { payloadBytes: PAYLOAD_BYTES, rounds, seconds, ...results };
}

interface Run {
  readonly batch: readonly Buffer[];
  readonly rounds: number;
  readonly seconds: number;
}

async function webhook(run: Run): Promise<unknown> {
  const server = await start(process.execPath, [resolve(import.meta.dirname, "echo.ts")], (line) =>
    line.startsWith("listening"),
  );
  const origin = `http://127.0.0.1:${server.line.split(" ").at(-1)}`;
  const secrets = [`whsec_${Buffer.alloc(32, 1).toString("base64")}`];
  const sink = await made(webhookSink, { url: origin, secrets, allow: ["127.0.0.1"], concurrency: CONCURRENCY });
  const agent = new Agent({ connections: CONCURRENCY });
  try {
    const compared = await compare(run, { client: bareClient(agent, origin), sink: bySink(sink) });
    return { reference: "undici requests with the same bodies, unsigned", concurrency: CONCURRENCY, ...compared };
  } finally {
    await sink.close?.();
    await agent.close();
    await server.stop();
  }
}

function bareClient(agent: Agent, origin: string): Deliver {
  const headers = { "content-type": "application/json" };
  return async (batch) => {
    let next = 0;
    const loop = async () => {
      for (let body = batch[next++]; body !== undefined; body = batch[next++]) {
        const answer = await agent.request({ origin, path: "/", method: "POST", headers, body });
        await answer.body.dump();
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, loop));
  };
}

async function file(run: Run): Promise<unknown> {
  const folder = mkdtempSync(join(tmpdir(), "pulsegate-bench-sinks-"));
  const sink = await made(fileSink, { path: join(folder, "sink.ndjson") });
  const plain = await open(join(folder, "plain.ndjson"), "a");
  const newline = Buffer.from("\n");
  try {
    const append: Deliver = async (batch) => {
      await plain.appendFile(Buffer.concat(batch.flatMap((bytes) => [bytes, newline])));
      await plain.datasync();
    };
    const compared = await compare(run, { append, sink: bySink(sink) });
    return { reference: "appendFile and fdatasync of the same lines", batch: BATCH, ...compared };
  } finally {
    await sink.close?.();
    await plain.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function kafka(run: Run): Promise<unknown> {
  let broker: TestKafka;
  try {
    broker = await startTestKafka();
  } catch (error) {
    return { leftOut: error instanceof Error ? error.message : String(error) };
  }
  const brokers = [`127.0.0.1:${broker.port}`];
  await broker.createTopic("bare");
  await broker.createTopic("sink");
  const sink = await made(kafkaSink, { brokers, topic: "sink" });
  const producer = new Producer({
    clientId: "bench",
    bootstrapBrokers: brokers,
    idempotent: true,
    partitioner: compatibilityPartitioner,
  });
  try {
    const bare: Deliver = async (batch) => {
      const messages = batch.map((bytes) => ({ topic: "bare", key: KEY, value: payloadOf(bytes) }));
      await producer.send({ messages });
    };
    const compared = await compare(run, { producer: bare, sink: bySink(sink) });
    return { reference: "an idempotent producer with the same values, without headers", batch: BATCH, ...compared };
  } finally {
    await sink.close?.();
    await producer.close(true);
    await broker.stop();
  }
}

/** Each way in turn, so that the machine's moods hit both; the first turn warms up. */
async function compare(run: Run, ways: Readonly<Record<string, Deliver>>): Promise<object> {
  const samples: Record<string, Sample[]> = {};
  for (let turn = 0; turn <= run.rounds; turn++) {
    for (const [name, deliver] of Object.entries(ways)) {
      const sample = await timed(run, deliver);
      if (turn > 0) (samples[name] ??= []).push(sample);
    }
  }
  const [reference = [], sink = []] = Object.values(samples);
  const ratio = spread(sink.map((one, i) => one.eventsPerSecond / (reference[i]?.eventsPerSecond ?? Number.NaN)));
  return {
    ...Object.fromEntries(Object.entries(samples).map(([name, all]) => [name, summary(all)])),
    ratio: rounded(ratio),
  };
}

async function timed({ batch, seconds }: Run, deliver: Deliver): Promise<Sample> {
  const before = process.cpuUsage();
  const startedAt = performance.now();
  let events = 0;
  while (performance.now() - startedAt < seconds * 1_000) {
    await deliver(batch);
    events += batch.length;
  }
  const took = (performance.now() - startedAt) / 1_000;
  const { user, system } = process.cpuUsage(before);
  return { eventsPerSecond: events / took, cpuMicrosPerEvent: (user + system) / events };
}

function summary(samples: readonly Sample[]): unknown {
  return {
    eventsPerSecond: rounded(spread(samples.map((one) => one.eventsPerSecond))),
    cpuMicrosPerEvent: round(spread(samples.map((one) => one.cpuMicrosPerEvent)).median),
  };
}

function rounded({ median, min, max }: { median: number; min: number; max: number }): unknown {
  return { median: round(median), min: round(min), max: round(max) };
}

async function made(definition: SinkDefinition, options: Record<string, unknown>): Promise<SinkPlugin> {
  const sink = definition.create();
  await sink.init?.(definition.config?.parse(options));
  return sink;
}

/** From canonical bytes, as a lane hands events over. */
function bySink(sink: SinkPlugin): Deliver {
  return async (batch) => {
    for (let left = batch.map((bytes) => decodeEvent(bytes)); left.length > 0; ) {
      const outcomes = (await sink.sendBatch?.(left, CONTEXT)) ?? [];
      const failed = outcomes.find((outcome) => outcome.type !== "ok" && !("untried" in outcome));
      if (failed !== undefined) throw new Error(JSON.stringify(failed));
      left = left.filter((_, i) => outcomes[i]?.type !== "ok");
    }
  };
}

const CONTEXT: PluginContext = {
  tenantId: "bench",
  logger: { debug() {}, info() {}, warn() {}, error() {} },
  metrics: { count() {}, observe() {} },
  attempt: 1,
  signal: new AbortController().signal,
};

function canonicalBytes(n: number): Buffer {
  const payload = Buffer.from(eventJson(PAYLOAD_BYTES, n));
  const id = crypto.randomUUID();
  const event = encodeParts({ eventId: id, tenantId: "bench", eventType: "order_paid", source: "http", payload });
  stampReceivedAt(event, Date.now());
  return event;
}
