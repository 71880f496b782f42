/**
 * What a growing backlog costs the whole server: memory, rate and time to restart with 10^4 and with
 * 10^7 events in the log, every event with an id of the client's own (the worst case for recognising
 * repeats). Each size has a log and a server of its own, restarted once after the fill.
 */
import { eventJson } from "./lib/events.ts";
import { type Target, startPulseGate } from "./lib/pulsegate.ts";
import type { IngestOptions } from "./ingest.ts";
import { usage } from "./lib/process.ts";
import { median, round } from "./lib/stats.ts";
import { wrk } from "./lib/wrk.ts";

const SMALL = 10_000;
const LARGE = 10_000_000;
const BATCH = 2_000;
const SENDERS = 4;
const LOAD_SECONDS = 6;

interface Measured {
  readonly restartSeconds: number;
  readonly perSecond: number;
  readonly rssMiB: number;
}

export async function growth({ rounds }: IngestOptions): Promise<unknown> {
  const large = rounds > 1 ? LARGE : LARGE / 10;
  const small = await measure(SMALL);
  const grown = await measure(large);
  return {
    small: { events: SMALL, ...small },
    large: { events: large, ...grown },
    rssRatio: round(grown.rssMiB / small.rssMiB),
    rateRatio: round(grown.perSecond / small.perSecond),
  };
}

/** Fills a new log, restarts on it, and loads the restarted server until it is warm. */
async function measure(events: number): Promise<Measured> {
  const first = await startPulseGate();
  await fill(first, events);
  const started = performance.now();
  const gate = await first.restart();
  const restartSeconds = (performance.now() - started) / 1000;
  try {
    const samples: number[] = [];
    for (let i = 0; i < 5; i++) samples.push(await load(gate));
    const { rssBytes } = usage(gate.pid);
    return {
      restartSeconds: round(restartSeconds),
      perSecond: round(median(samples.slice(1))),
      rssMiB: round(rssBytes / 2 ** 20),
    };
  } finally {
    await gate.stop();
  }
}

async function load(gate: Target): Promise<number> {
  const headers = { ...gate.headers, "Content-Type": "application/json" };
  const url = `${gate.url}/v1/events`;
  return (await wrk({ url, body: eventJson(1024), headers, connections: 64, seconds: LOAD_SECONDS })).rate;
}

async function fill(gate: Target, events: number): Promise<void> {
  let next = 0;
  const sender = async (): Promise<void> => {
    while (next < events) {
      const from = next;
      next += BATCH;
      await postBatch(gate, from, Math.min(BATCH, events - from));
    }
  };
  await Promise.all(Array.from({ length: SENDERS }, sender));
}

async function postBatch(gate: Target, from: number, count: number): Promise<void> {
  let body = "";
  for (let n = from; n < from + count; n++) {
    body += `{"event_type":"order_paid","event_id":"client-${n}-${gate.pid}","payload":{"n":${n},"note":"${NOTE}"}}\n`;
  }
  const answer = await fetch(`${gate.url}/v1/events/batch`, {
    method: "POST",
    body,
    headers: { ...gate.headers, "Content-Type": "application/x-ndjson" },
  });
  await answer.arrayBuffer();
  if (answer.status !== 202) throw new Error(`a batch was answered ${answer.status}`);
}

const NOTE = "the quick brown fox jumps over the lazy dog ".repeat(2);
