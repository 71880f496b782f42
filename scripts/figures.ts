type Json = { readonly [key: string]: Json } | readonly Json[] | string | number | boolean | undefined;
export type Results = (bench: string) => Json;

interface Row {
  readonly what: string;
  readonly bench: string;
  /** Figures within the bench's result, in the order of the text's `{}`. */
  readonly figures: readonly string[];
  readonly text: string;
}

const ROWS: readonly Row[] = [
  {
    what: "1 KB POST, 64 connections",
    bench: "ingest",
    figures: [
      "post1KB_64.gate.perSecond",
      "post1KB_64.ratio.median",
      "post1KB_64.gate.p99Ms",
      "post1KB_64.gate.cpuMicrosEach",
    ],
    text: "{}/s, **{} × the echo**, p99 {} ms, {} µs of CPU each",
  },
  {
    what: "1 KB POST, 256 connections",
    bench: "ingest",
    figures: [
      "post1KB_256.gate.perSecond",
      "post1KB_256.ratio.median",
      "post1KB_256.gate.p99Ms",
      "post1KB_256.gate.cpuMicrosEach",
    ],
    text: "{}/s, **{} × the echo**, p99 {} ms, {} µs of CPU each",
  },
  {
    what: "NDJSON, 100 × 250 B a request",
    bench: "ingest",
    figures: ["ndjson.eventsPerSecond", "ndjson.ratio.median", "ndjson.cpuMicrosPerEvent"],
    text: "{} events/s, **{} ×** a loop that only parses the lines, {} µs of CPU each",
  },
  {
    what: "Ack at half of the peak, requests on schedule",
    bench: "open-loop",
    figures: ["ratePerSecond", "gate.p50Ms", "gate.p99Ms", "echo.p99Ms", "owedP99Ms"],
    text: "{}/s: p50 {} ms, p99 {} ms (echo {} ms; allowed: echo + two 16 KB syncs + 1 ms = {} ms)",
  },
  {
    what: "POST → row in PostgreSQL, 64 connections, all on this machine",
    bench: "delivery",
    figures: [
      "post1KB_64.rowsPerSecond",
      "post1KB_64.ratio.median",
      "post1KB_64.gateCpuMicrosEach",
      "post1KB_64.postgresCpuMicrosEach",
    ],
    text: "{} rows/s, **{} × the echo's requests**, CPU {} µs here + {} µs in PostgreSQL",
  },
  {
    what: "The same, NDJSON 100 × 250 B",
    bench: "delivery",
    figures: ["ndjson.rowsPerSecond", "ndjson.gateCpuMicrosEach", "ndjson.postgresCpuMicrosEach"],
    text: "{} rows/s, CPU {} µs here + {} µs in PostgreSQL",
  },
  {
    what: "Load profile of the founding text, POST → row",
    bench: "profile",
    figures: [
      "steps.0.rate",
      "steps.0.p99Ms",
      "steps.0.failed",
      "steps.1.rate",
      "steps.1.p99Ms",
      "steps.1.failed",
      "steps.1.generator",
    ],
    text: "{}/s: ack p99 {} ms, {} failed; {}/s: ack p99 {} ms, {} failed ({})",
  },
  {
    what: "`postgres_sink` alone, 1 KB rows",
    bench: "sink",
    figures: ["results.payload_1024.ratioToCopy.sink_1.median", "results.payload_1024.sink_1.rowsPerSecond.median"],
    text: "**{} ×** `\\copy` into the same table, {} rows/s",
  },
  {
    what: "429 by quota, 1 KB: CPU against an event that is taken",
    bench: "qos",
    figures: [
      "refusal.requests.0.refusedCpuMicros",
      "refusal.requests.0.ratioToStored",
      "refusal.requests.0.ratioToFile",
      "refusal.requests.0.ratioToPostgres",
    ],
    text: "{} µs: **{} ×** stored alone, {} × delivered to a file, {} × to PostgreSQL",
  },
  {
    what: "The same, NDJSON 100 × 250 B",
    bench: "qos",
    figures: [
      "refusal.requests.2.refusedCpuMicros",
      "refusal.requests.2.ratioToStored",
      "refusal.requests.2.ratioToFile",
      "refusal.requests.2.ratioToPostgres",
    ],
    text: "{} µs: **{} ×** stored alone, {} × delivered to a file, {} × to PostgreSQL",
  },
  {
    what: "64 KB POSTs from 3 and 10 times the clients, each again at once",
    bench: "qos",
    figures: ["overload.overloads.0.goodput", "overload.overloads.1.goodput", "overload.rssPeakMiB"],
    text: "**{}** and **{}** of the peak stored, at most {} MiB",
  },
  {
    what: "5,000 sockets that never end their head",
    bench: "qos",
    figures: ["slowSockets.quietP99Ms", "slowSockets.duringP99Ms", "slowSockets.ratio"],
    text: "p99 of others {} → {} ms (**{} ×**)",
  },
  {
    what: "10,000 lanes to which nothing comes",
    bench: "qos",
    figures: ["idleLanes.coreShare"],
    text: "{} of a core",
  },
  {
    what: "10,000 → 10,000,000 events in the log",
    bench: "growth",
    figures: ["rssRatio", "rateRatio", "large.restartSeconds", "small.restartSeconds"],
    text: "memory × {}, rate × {}, stop and restart {} s (with 10,000: {} s)",
  },
  {
    what: "On Redis, synced always: 1 KB POST, 64 connections",
    bench: "redis",
    figures: [
      "door.post1KB_64.gate.perSecond",
      "door.post1KB_64.ratio.median",
      "door.post1KB_64.gate.cpuMicrosEach",
      "door.post1KB_64.gate.helperCpuMicrosEach",
    ],
    text: "{}/s, **{} × the echo**, CPU {} µs here + {} µs in Redis",
  },
  {
    what: "On Redis: 1 KB POST, 256 connections",
    bench: "redis",
    figures: [
      "door.post1KB_256.gate.perSecond",
      "door.post1KB_256.ratio.median",
      "door.post1KB_256.gate.cpuMicrosEach",
      "door.post1KB_256.gate.helperCpuMicrosEach",
    ],
    text: "{}/s, **{} × the echo**, CPU {} µs here + {} µs in Redis",
  },
  {
    what: "On Redis: appends of the driver, 64 at a time; NDJSON",
    bench: "redis",
    figures: [
      "appends.depth_64.perSecond",
      "appends.depth_64.ratio",
      "door.ndjson.eventsPerSecond",
      "door.ndjson.ratioToXadd",
    ],
    text: "{}/s, **{} ×** `redis-benchmark` with plain XADD at the same depth; NDJSON {} events/s, **{} ×** it",
  },
  {
    what: "On Redis: one worker that catches up, into an empty sink",
    bench: "redis",
    figures: ["delivery.perSecond", "delivery.perWorkerCoreSecond"],
    text: "{} events/s, {} for each second of a core",
  },
  {
    what: "On Redis: 10,000 tenants",
    bench: "redis",
    figures: ["tenants.ratio.median", "idle.coreShare"],
    text: "× {} CPU for each append against one tenant; idle, {} of a core in worker and Redis",
  },
  {
    what: "Workers over one Redis",
    bench: "scale-out",
    figures: [
      "takeover.longestWaitMs.max",
      "handOver.longestWaitMs.max",
      "joining.taken",
      "joining.slots",
      "scaling.ratio.median",
    ],
    text: "killed: replaced in {} ms; stopped: {} ms; a third takes {} of {} slots; 1 → 4 deliver **{} ×**",
  },
];

/** The README's block of figures as Markdown; what was not measured is left out. */
export function figures(results: Results): string {
  const rows = ROWS.flatMap((row) => {
    const result = results(row.bench);
    const values = row.figures.map((path) => at(result, path));
    if (values.includes(undefined)) return [];
    return [`| ${row.what} | ${fill(row.text, values)} |`];
  });
  if (rows.length === 0) return "";
  return [method(results("ingest")), "", "| | |", "|---|---|", ...rows, ""].join("\n");
}

function at(value: Json, path: string): Json {
  return path.split(".").reduce<Json>((inner, key) => {
    return typeof inner === "object" ? (inner as { readonly [key: string]: Json })[key] : undefined;
  }, value);
}

function fill(text: string, values: readonly Json[]): string {
  let next = 0;
  return text.replaceAll("{}", () => word(values[next++]));
}

function word(value: Json): string {
  return typeof value === "number" ? value.toLocaleString("en-US", { maximumSignificantDigits: 3 }) : (value as string);
}

function method(ingest: Json): string {
  const fact = (path: string): string => word(at(ingest, path) ?? "?");
  return (
    `By \`make bench\` on ${fact("machine.cores")} cores (${fact("machine.cpu")}), Node ${fact("machine.node")}, ` +
    `${fact("at").slice(0, 10)}. The generator, and PostgreSQL where there is one, share the machine; every ack is after ` +
    "its sync. The reference is a bare `node:http` server that reads the body, parses it and answers 202, measured in turn " +
    "in the same run; medians. Raw results: [bench/results/](bench/results/)."
  );
}
