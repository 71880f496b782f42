import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { startPulseGate, type Target } from "./lib/pulsegate.ts";
import { median, quantile, round } from "./lib/stats.ts";

const NAUGHTY = resolve(import.meta.dirname, "../workers/isolation/naughty.fixture.ts");
/** The first does no harm: how far its ratio is from 1 is the noise of the others. */
const DEEDS = ["none", "loop", "exit", "abort", "reject", "allocate", "never"];
/** Of the tenant whose latency is measured. */
const GOOD_PER_SECOND = 400;
/** Of the tenant with the bad plugin, harmless ones. */
const BAD_PER_SECOND = 20;
const SETTLE_MS = 2_000;
/** Each is minutes long. */
const ROUNDS_MAX = 3;

/**
 * A tenant's delivery, from its request to its sink, while another's plugin does the worst, and without: calm, harm,
 * harm, calm in each round, so that what drifts hits both alike. Ratios are of the typical quantiles of a window.
 */
export async function harm({
  rounds,
  seconds,
}: {
  readonly rounds: number;
  readonly seconds: number;
}): Promise<unknown> {
  const sink = await startSink();
  const folder = mkdtempSync(join(tmpdir(), "pulsegate-harm-"));
  const out = join(folder, "bad.ndjson");
  const badKey = randomBytes(16).toString("hex");
  const gate = await startPulseGate(tenants({ port: sink.port, out, badKey }));
  try {
    const run = { gate, sink, badKey, seconds };
    await phase(run, "none");
    const calm = new Map(DEEDS.map((deed) => [deed, [] as Times[]]));
    const harmed = new Map(DEEDS.map((deed) => [deed, [] as Times[]]));
    for (let i = 0; i < Math.min(rounds, ROUNDS_MAX); i++)
      for (const deed of DEEDS) {
        calm.get(deed)?.push(await phase(run, "none"));
        harmed.get(deed)?.push(await phase(run, deed), await phase(run, deed));
        calm.get(deed)?.push(await phase(run, "none"));
      }
    const harmless = readFileSync(out, "utf8").split("\n").length - 1;
    const ratios = (q: number) =>
      Object.fromEntries(
        DEEDS.map((deed) => [deed, round(typical(harmed.get(deed) ?? [], q) / typical(calm.get(deed) ?? [], q))]),
      );
    const allCalm = [...calm.values()].flat();
    return {
      goodPerSecond: GOOD_PER_SECOND,
      windows: (harmed.get("none") ?? []).length,
      calmP50Ms: round(typical(allCalm, 0.5)),
      calmP99Ms: round(typical(allCalm, 0.99)),
      p99Ratio: ratios(0.99),
      p50Ratio: ratios(0.5),
      harmlessDelivered: harmless,
    };
  } finally {
    await gate.stop();
    sink.server.close();
    rmSync(folder, { recursive: true });
  }
}

/** Milliseconds that each event of a phase took. */
type Times = readonly number[];

/** The median of the phases' quantiles: one phase in which the disk stood still does not decide. */
function typical(phases: readonly Times[], q: number): number {
  return median(phases.map((times) => quantile(times, q)));
}

interface Phase {
  readonly gate: Target;
  readonly sink: Sink;
  readonly badKey: string;
  readonly seconds: number;
}

/** Sends on schedule for the time, with one bad event at its beginning; the milliseconds that each event took. */
async function phase({ gate, sink, badKey, seconds }: Phase, deed: string): Promise<Times> {
  const sent: number[] = [];
  const post = (key: Record<string, string>, payload: unknown) =>
    fetch(`${gate.url}/v1/events`, {
      method: "POST",
      headers: { ...key, "Content-Type": "application/json" },
      body: JSON.stringify({ event_type: "order_paid", payload }),
    }).then((response) => response.arrayBuffer());
  const bad = { "X-API-Key": badKey };
  if (deed !== "none") await post(bad, { do: deed });
  const waiting: Promise<unknown>[] = [];
  const startedAt = performance.now();
  for (let n = 0; n < seconds * GOOD_PER_SECOND; n++) {
    const dueAt = startedAt + (n * 1_000) / GOOD_PER_SECOND;
    const aheadMs = dueAt - performance.now();
    if (aheadMs > 0) await new Promise((done) => setTimeout(done, aheadMs));
    const id = sink.expect(dueAt, (ms) => sent.push(ms));
    waiting.push(post(gate.headers, { id }));
    if (n % (GOOD_PER_SECOND / BAD_PER_SECOND) === 0) waiting.push(post(bad, { do: "" }));
  }
  await Promise.all(waiting);
  await sink.idle();
  // The bad plugin's restarts end before the next phase begins.
  if (deed !== "none") await new Promise((done) => setTimeout(done, SETTLE_MS));
  return sent;
}

interface Sink {
  readonly server: Server;
  readonly port: number;
  /** The id to send; calls back with the milliseconds since `dueAt` when it arrives. */
  expect(dueAt: number, onArrival: (ms: number) => void): number;
  /** Resolves when all that is expected has come. */
  idle(): Promise<void>;
}

async function startSink(): Promise<Sink> {
  const expected = new Map<number, (at: number) => void>();
  let onIdle: (() => void) | undefined;
  let nextId = 0;
  const arrived = (id: number, at: number) => {
    expected.get(id)?.(at);
    expected.delete(id);
    if (expected.size === 0) onIdle?.();
  };
  const server = createServer((request, response) => {
    const at = performance.now();
    let text = "";
    request.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    request.on("end", () => {
      response.writeHead(204).end();
      arrived((JSON.parse(text) as { id: number }).id, at);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    server,
    port: (server.address() as AddressInfo).port,
    expect(dueAt, onArrival) {
      expected.set(nextId, (at) => onArrival(at - dueAt));
      return nextId++;
    },
    idle: () =>
      expected.size === 0
        ? Promise.resolve()
        : new Promise((done) => {
            onIdle = done;
          }),
  };
}

function tenants({ port, out, badKey }: { port: number; out: string; badKey: string }): string {
  const sha256 = createHash("sha256").update(badKey).digest("hex");
  const secret = `whsec_${Buffer.alloc(32, 1).toString("base64")}`;
  return `    plugins:
      sinks:
        - name: webhook_sink
          config: { url: "http://127.0.0.1:${port}/", secrets: ["${secret}"], allow: ["127.0.0.1"], body: payload }
  - id: bad
    keys: [{ id: bad, sha256: ${sha256} }]
    plugins:
      transform: [{ name: ${JSON.stringify(NAUGHTY)} }]
      sinks: [{ name: file_sink, config: { path: ${JSON.stringify(out)} } }]
`;
}
