import { randomFillSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import { request } from "undici";
import { type HttpAdapter, type HttpOptions, startHttp } from "../../adapters/http/index.ts";
import { OPENAPI } from "../../adapters/http/openapi.ts";
import { createIds } from "../../core/canonical/id.ts";
import { createAdmission, hashApiKey } from "../../core/ingestion/admit.ts";
import { fateOf } from "../../core/ingestion/fate.ts";
import { createIngestor } from "../../core/ingestion/ingest.ts";
import type { LogWriter } from "../../core/ingestion/log.ts";
import type { IngestMetrics } from "../../core/ingestion/metrics.ts";
import { Capacity } from "../../core/qps/capacity.ts";
import { createDoor } from "../../core/qps/door.ts";
import type { Limits, TenantConfig } from "../../core/ingestion/revision.ts";
import { type MemoryLog, openMemoryLog } from "../../drivers/memory/index.ts";
import { systemClock } from "../../observability/system-clock.ts";

export const LIMITS: Limits = {
  eventBytesMax: 1024 * 1024,
  batchBytesMax: 10 * 1024 * 1024,
  batchEventsMax: 1000,
  headerTimeoutMs: 10_000,
  bodyTimeoutMs: 30_000,
  keepAliveTimeoutMs: 5000,
  connectionsMax: 1000,
  connectionsPerAddressMax: 10_000,
  bodyBytesPerSecondMin: 0,
};

const COST_MAX = 64 * 1024 * 1024;

/** How gates are started where a test says nothing else. */
export const GATE_DEFAULTS: { readsPlain: boolean } = { readsPlain: true };

export interface GateOptions {
  readonly limits?: Partial<Limits>;
  /** Stands between the door and the log, to hold, fail or watch appends. */
  readonly writer?: (log: MemoryLog) => LogWriter;
  readonly http?: Partial<HttpOptions>;
  /** Of the tenant `shop`. */
  readonly quota?: TenantConfig["quota"];
}

export interface Gate {
  readonly url: string;
  readonly port: number;
  readonly log: MemoryLog;
  readonly http: HttpAdapter;
  /** `level message` of each line that was logged. */
  readonly logged: string[];
  readonly answered: Array<Parameters<IngestMetrics["request"]>[0]>;
  readonly counted: Array<Parameters<IngestMetrics["events"]>>;
  readonly backpressure: Array<Parameters<IngestMetrics["backpressure"]>>;
  /** Events of the tenant `shop` in the log. */
  stored(): Promise<number>;
  close(): Promise<void>;
}

/** A writer whose appends wait until told; `reached` resolves with the first of them. */
export function held() {
  const { promise, resolve: release } = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  const writer: GateOptions["writer"] = (log) => ({
    append: async (entries) => {
      reached.resolve();
      await promise;
      return log.append(entries);
    },
    probe: () => log.probe(),
  });
  return { writer, release, reached: reached.promise };
}

/** Tenants `shop` (key `shop-key`) and `other` (key `other-key`), one partition each. */
export const TENANTS: readonly TenantConfig[] = ["shop", "other"].map((id) => ({
  id,
  keys: [{ id: "web", sha256: hashApiKey(`${id}-key`) }],
  partitions: 1,
  weight: 1,
  transforms: [],
  sinks: [],
}));

/** The data port over an in-memory log, on a free loopback port. */
export async function startGate({ limits = {}, writer, quota, http: overrides = {} }: GateOptions = {}): Promise<Gate> {
  const tenants = TENANTS.map((tenant) => (tenant.id === "shop" ? { ...tenant, quota } : tenant));
  const log = openMemoryLog({ clock: systemClock });
  const record = recorder();
  const metrics = record.metrics;
  const http = await startHttp({
    host: "127.0.0.1",
    port: 0,
    ingestor: createIngestor({ log: writer?.(log) ?? log, metrics }),
    admission: createAdmission({ tenants }),
    door: createDoor({ tenants }, systemClock),
    capacity: new Capacity({ clock: systemClock, costMax: COST_MAX }),
    fate: (tenantId, idOrPosition) => fateOf({ reader: log, lanes: log }, tenantId, idOrPosition),
    limits: () => ({ ...LIMITS, ...limits }),
    ids: createIds({ clock: systemClock, randomFill: (bytes) => void randomFillSync(bytes) }),
    logger: record.logger,
    metrics,
    clock: systemClock,
    readsPlain: GATE_DEFAULTS.readsPlain,
    ...overrides,
  });
  return {
    ...record,
    url: `http://127.0.0.1:${http.address.port}`,
    port: http.address.port,
    log,
    http,
    stored: async () => (await log.bounds({ tenantId: "shop", partition: 0 })).end,
    close: () => http.drain(0),
  };
}

function recorder() {
  const logged: string[] = [];
  const answered: Gate["answered"] = [];
  const counted: Gate["counted"] = [];
  const backpressure: Gate["backpressure"] = [];
  const at = (level: string) => (_fields: object, message: string) => void logged.push(`${level} ${message}`);
  const metrics: IngestMetrics = {
    request: (sample) => void answered.push(sample),
    events: (...count) => void counted.push(count),
    backpressure: (...reason) => void backpressure.push(reason),
  };
  const logger = { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
  return { logged, answered, counted, backpressure, metrics, logger };
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  /** Undefined when the answer is no JSON. */
  readonly json: ReturnType<typeof JSON.parse>;
}

export interface Call {
  readonly method?: string;
  readonly body?: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

const KEY = { "x-api-key": "shop-key" };

/** One request with the shop's key and JSON unless told otherwise; a header of "" is left out. */
export async function call(url: string, { method = "POST", body, headers = {} }: Call = {}): Promise<Answer> {
  const all = { ...KEY, ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers };
  const kept = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== ""));
  const response = await request(url, { method: method as "POST", headers: kept, body: body ?? null });
  const text = await response.body.text();
  const type = String(response.headers["content-type"] ?? "");
  const json = type.includes("json") && text !== "" ? JSON.parse(text) : undefined;
  if (type === "application/problem+json" && text !== "") checkProblem(response.statusCode, json);
  return { status: response.statusCode, headers: response.headers, text, json };
}

const ajv = new Ajv2020({ strict: false, allErrors: true });
(formats as unknown as (instance: unknown) => void)(ajv);
ajv.addSchema({ $id: "openapi", components: OPENAPI.components }, "openapi");

/** Throws unless the value is as the OpenAPI document says. */
export function checkSchema(name: keyof typeof OPENAPI.components.schemas, value: unknown): void {
  const validate = ajv.getSchema(`openapi#/components/schemas/${name}`);
  if (validate?.(value) !== true)
    throw new Error(`no ${name}: ${ajv.errorsText(validate?.errors)}\n${JSON.stringify(value)}`);
}

function checkProblem(status: number, problem: { status: number }): void {
  checkSchema("Problem", problem);
  if (problem.status !== status) throw new Error(`the problem says ${problem.status}, the answer ${status}`);
}

/** Resident memory of this process, bytes. */
export function residentBytes(): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync("/proc/self/status", "latin1"))?.[1]) * 1024;
}
