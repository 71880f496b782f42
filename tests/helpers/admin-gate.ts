import type { SinkPreview } from "../../core/ingestion/preview.ts";
import { randomFillSync } from "node:crypto";
import { startOps } from "../../adapters/admin/index.ts";
import type { AdminPorts, ConfigPort, OpsOptions, OpsServer } from "../../adapters/admin/index.ts";
import { PulseGateError } from "../../core/canonical/errors.ts";
import { hashApiKey } from "../../core/ingestion/admit.ts";
import { createJobControl } from "../../core/ingestion/job-control.ts";
import type { Revision, TenantConfig } from "../../core/ingestion/revision.ts";
import { openMemoryLog } from "../../drivers/memory/index.ts";
import type { MemoryLog } from "../../drivers/memory/index.ts";
import { systemClock } from "../../observability/system-clock.ts";
import { revision, sinkUse, tenant } from "./worker-bench.ts";

/** Tokens of the tests, by who holds them. */
export const TOKENS = {
  admin: "an-admin-token-of-some-length",
  operator: "an-operator-token-of-some-length",
  viewer: "a-viewer-token-of-some-length",
  shop: "a-token-for-the-tenant-shop",
  other: "a-token-for-the-tenant-other",
} as const;

export type Holder = keyof typeof TOKENS;

const HOLDERS: AdminPorts["tokens"] = () => [
  { id: "admin", role: "admin", sha256: hashApiKey(TOKENS.admin) },
  { id: "operator", role: "operator", sha256: hashApiKey(TOKENS.operator) },
  { id: "viewer", role: "viewer", sha256: hashApiKey(TOKENS.viewer) },
  { id: "shop", role: "admin", tenantId: "shop", sha256: hashApiKey(TOKENS.shop) },
  { id: "other", role: "admin", tenantId: "other", sha256: hashApiKey(TOKENS.other) },
];

export const INGEST_KEY = "the-ingest-key-of-shop";
export const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";

const SHOP: TenantConfig = tenant("shop", [sinkUse("raw")], { keys: [{ id: "web", sha256: hashApiKey(INGEST_KEY) }] });

export interface AdminGateOptions {
  readonly log?: MemoryLog;
  readonly ports?: (ports: AdminPorts) => Partial<AdminPorts>;
  readonly ops?: Partial<OpsOptions>;
}

export interface AdminGate {
  readonly log: MemoryLog;
  readonly ops: OpsServer;
  readonly url: string;
  /** What was written to the process's log. */
  readonly logged: string[];
  close(): Promise<void>;
}

/** The operations port with the admin API on the in-memory log; tenants `shop` (sink `raw`) and `other`. */
export async function startAdminGate(options: AdminGateOptions = {}): Promise<AdminGate> {
  const log = options.log ?? openMemoryLog({ clock: systemClock });
  const logged: string[] = [];
  const note = (_fields: unknown, message: string): void => void logged.push(message);
  const running = revision(7, [SHOP, tenant("other", [])]);
  const ports = portsOn(log, running);
  const ops = await startOps({
    host: "127.0.0.1",
    port: 0,
    checks: [{ name: "log", check: () => log.probe() }],
    metrics: async () => "up 1\n",
    metricsContentType: "text/plain; version=0.0.4",
    admin: { ...ports, ...options.ports?.(ports) },
    ids: { traceId: () => TRACE_ID },
    logger: { debug: note, info: note, warn: note, error: note },
    clock: systemClock,
    ...options.ops,
  });
  return {
    log,
    ops,
    url: `http://127.0.0.1:${ops.address.port}`,
    logged,
    async close() {
      await ops.close(1_000);
      if (options.log === undefined) await log.close();
    },
  };
}

function portsOn(log: MemoryLog, running: Revision): AdminPorts {
  const parts = { reader: log, lanes: log, revision: () => running };
  return {
    tokens: HOLDERS,
    reader: log,
    lanes: log,
    storage: log,
    erase: log.erase.bind(log),
    control: log.control,
    revision: () => running,
    config: configPort(running),
    trials: NO_TRIALS,
    jobs: createJobControl({ ...parts, control: log.control, clock: systemClock, random: Math.random }),
    previewJob: async () => [PREVIEW],
    workers: {
      status: async () => [{ tenantId: "shop", partition: 0, sink: "raw", breaker: "open", lastError: "refused" }],
      holdsChanged: async () => {},
      reread: async () => {},
      skip: async () => {},
    },
    plugins: () => [
      { name: "raw", kind: "sink", version: "1.0.0", summary: "Takes events", source: "built in", config: null },
    ],
    checkSink: async () => {},
    keysChanged: async () => {},
    randomFill: (bytes) => void randomFillSync(bytes),
    clock: systemClock,
  };
}

const PREVIEW: SinkPreview = {
  ...{ sink: "raw", events: 10, deliveredAnew: 0, filtered: 0, dead: 0, changed: 1, unknown: 2, isPartial: false },
  examples: [
    {
      ...{ eventId: "e1", partition: 0, sequence: 4, recorded: "delivered", today: "delivered" },
      changes: [{ path: "payload.n", before: 1, after: 2 }],
    },
  ],
};

const NO_TRIALS: AdminPorts["trials"] = {
  begin: async ({ ttlMs }) => ({ id: "0a", tenantIds: ["trial-a"], expiresAt: ttlMs }),
  end: async (id) => {
    throw new PulseGateError("not_found", `there is no trial ${id}`);
  },
};

/** Knows revisions 6 and 7, and takes any text but `bad`. */
function configPort({ number, tenants }: Revision): ConfigPort {
  const infos = [number, number - 1].map((one) => ({ number: one, at: 0, origin: "file" as const, by: "file" }));
  const change = async (expected: number | undefined) => {
    if (expected === undefined || expected === number) return number;
    throw new PulseGateError("precondition_failed", `revision ${number} runs by now`);
  };
  return {
    state: () => ({ revision: number, appliedAt: 0, origin: "file", tenantIds: tenants.map(({ id }) => id) }),
    validate: async (text) => (text === "bad" ? [{ file: "p.yaml", line: 3, column: 5, message: "unknown key" }] : []),
    apply: (_text, _by, expected) => change(expected),
    rollBack: (_number, _by, expected) => change(expected),
    revisions: async () => infos,
    revision: async (wanted) => infos.filter((one) => one.number === wanted).map((one) => ({ ...one, text: "" }))[0],
    diff: async () => ({ text: "", secretsChanged: false }),
  };
}

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- a test looks into whatever came
  readonly body: any;
}

export interface AskOptions {
  readonly method?: string;
  readonly token?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  /** A text goes as YAML, all else as JSON. */
  readonly body?: unknown;
}

/** One request; as the admin unless told otherwise. */
export async function ask(url: string, path: string, options: AskOptions = {}): Promise<Reply> {
  const { method = "GET", body } = options;
  const token = "token" in options ? options.token : TOKENS.admin;
  const headers: Record<string, string> = { ...options.headers };
  if (token !== undefined) headers["authorization"] = `Bearer ${token}`;
  if (body !== undefined) headers["content-type"] = typeof body === "string" ? "application/yaml" : "application/json";
  const sent = body === undefined || typeof body === "string" ? (body ?? null) : JSON.stringify(body);
  const response = await fetch(`${url}${path}`, { method, headers, body: sent });
  const text = await response.text();
  const isJson = (response.headers.get("content-type") ?? "").replace(/;.*/, "").endsWith("json");
  return { status: response.status, headers: response.headers, text, body: isJson ? JSON.parse(text) : undefined };
}
