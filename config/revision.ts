import type { RetentionRule } from "../core/ingestion/retention.ts";
import type {
  PluginUse,
  QuotaConfig,
  RetentionConfig,
  Revision,
  SinkUse,
  TenantConfig,
} from "../core/ingestion/revision.ts";
import type { ParsedQuota } from "./quota.ts";
import { routeOf } from "./routing.ts";
import type { ParsedConfig } from "./schema.ts";
import type { Path } from "./source.ts";

/** A revision that has no number yet: the composition root gives it one when it accepts it. */
export type RevisionDraft = Omit<Revision, "number">;

/** What is fixed at start; changes wait for a restart. */
export interface ProcessSettings {
  readonly log: {
    readonly driver: "embedded" | "redis";
    /** Absolute. */
    readonly path: string;
    /** Of every tenant that has none of its own. */
    readonly retention: RetentionRule;
    /** Of the embedded log's files. */
    readonly diskBytesMax?: number | undefined;
    readonly dedupWindowMs: number;
    readonly dedupBytesMax: number;
    /** Set for the driver `redis`. */
    readonly redis?: RedisSettings | undefined;
  };
  readonly http: { readonly host: string; readonly port: number; readonly memoryBytesMax: number };
  readonly ops: {
    readonly host: string;
    readonly port: number;
    /** Without any the admin API is off. Unlike the rest these change on reload. */
    readonly tokens: readonly AdminToken[];
  };
  readonly workers: { readonly threads: number };
  readonly logging: { readonly level: "debug" | "info" | "warn" | "error" };
  readonly shutdownGraceMs: number;
}

export interface RedisSettings {
  readonly connection: {
    readonly url: string;
    readonly username?: string | undefined;
    readonly password?: string | undefined;
    readonly sentinelPassword?: string | undefined;
    readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string } | undefined;
  };
  readonly prefix: string;
  readonly durability: "strict" | "relaxed";
  readonly replicas: number;
  readonly compression: "none" | "zstd";
  readonly leaseMs: number;
}

type ParsedTenant = ParsedConfig["tenants"][number];
type ParsedSink = ParsedTenant["plugins"]["sinks"][number];

/** Who may use the admin API, and for what. */
export interface AdminToken {
  readonly id: string;
  readonly role: "viewer" | "operator" | "admin";
  /** Undefined: all tenants, and what belongs to none. */
  readonly tenantId?: string | undefined;
  /** Lower-case hex. */
  readonly sha256: string;
}

export interface SettingsOptions {
  /** Makes a path of the file absolute. */
  readonly resolvePath: (path: string) => string;
  readonly hashKey: (key: string) => string;
  readonly cores: number;
}

const THREADS_AUTO_MAX = 8;

export function settingsOf(parsed: ParsedConfig, { resolvePath, hashKey, cores }: SettingsOptions): ProcessSettings {
  const { log, http, ops, workers } = parsed;
  const threadsAuto = Math.min(Math.max(cores - 1, 1), THREADS_AUTO_MAX);
  return {
    log: {
      driver: log.driver,
      path: resolvePath(log.path),
      retention: {
        ageMs: log.retention,
        bytesMax: log.retention_bytes,
        deadLetterAgeMs: log.dead_letters.age,
        whenFull: log.when_full,
      },
      diskBytesMax: log.disk_bytes_max,
      dedupWindowMs: log.dedup_window,
      dedupBytesMax: log.dedup_bytes_max,
      redis: log.driver === "redis" ? redisOf(log) : undefined,
    },
    http: { host: http.host, port: http.port, memoryBytesMax: http.memory_bytes_max },
    ops: { host: ops.host, port: ops.port, tokens: tokensOf(ops, hashKey) },
    workers: { threads: workers.threads === "auto" ? threadsAuto : workers.threads },
    logging: parsed.logging,
    shutdownGraceMs: parsed.shutdown_grace,
  };
}

function redisOf(log: ParsedConfig["log"]): RedisSettings {
  const { url = "", username, password, sentinel_password: sentinelPassword } = log;
  const parts = Object.entries({ ca: log.tls_ca, cert: log.tls_cert, key: log.tls_key });
  const tls = Object.fromEntries(parts.filter((part): part is [string, string] => part[1] !== undefined));
  return {
    connection: { url, username, password, sentinelPassword, tls: Object.keys(tls).length === 0 ? undefined : tls },
    prefix: log.prefix,
    durability: log.durability,
    replicas: log.replicas,
    compression: log.compression,
    leaseMs: log.lease,
  };
}

function tokensOf(ops: ParsedConfig["ops"], hashKey: (text: string) => string): AdminToken[] {
  const named = ops.tokens.map(({ id, role, tenant, sha256, token }): AdminToken => {
    return { id, role, tenantId: tenant, sha256: token === undefined ? (sha256 ?? "").toLowerCase() : hashKey(token) };
  });
  if (ops.admin_token === undefined) return named;
  return [{ id: "admin_token", role: "admin", sha256: hashKey(ops.admin_token) }, ...named];
}

export type ResolvedPlugin = Pick<PluginUse, "name" | "config" | "module">;

export interface DraftOptions {
  readonly hashKey: (key: string) => string;
  /** The plugin used at this place, with its validated options. */
  readonly pluginAt: (path: Path) => ResolvedPlugin;
}

export function draftOf(parsed: ParsedConfig, options: DraftOptions): RevisionDraft {
  const { limits } = parsed;
  return {
    limits: {
      eventBytesMax: limits.event_bytes_max,
      batchBytesMax: limits.batch_bytes_max,
      batchEventsMax: limits.batch_events_max,
      headerTimeoutMs: limits.header_timeout,
      bodyTimeoutMs: limits.body_timeout,
      keepAliveTimeoutMs: limits.keep_alive_timeout,
      connectionsMax: limits.connections_max,
      connectionsPerAddressMax: limits.connections_per_address_max,
      bodyBytesPerSecondMin: limits.body_rate_min,
    },
    tenants: parsed.tenants.map((tenant, index) => tenantOf(tenant, index, options)),
  };
}

function tenantOf(tenant: ParsedTenant, index: number, { hashKey, pluginAt }: DraftOptions): TenantConfig {
  const path = ["tenants", index, "plugins"];
  return {
    id: tenant.id,
    keys: tenant.keys.map((key) => ({
      id: key.id,
      sha256: key.key === undefined ? (key.sha256 ?? "").toLowerCase() : hashKey(key.key),
    })),
    partitions: tenant.partitions,
    weight: tenant.weight,
    quota: tenant.quota === undefined ? undefined : quotaOf(tenant.quota),
    retention: retentionOf(tenant),
    transforms: tenant.plugins.transform.map((use, at) => useOf(use, pluginAt([...path, "transform", at]))),
    sinks: tenant.plugins.sinks.map((sink, at) => sinkOf(sink, [...path, "sinks", at], pluginAt)),
  };
}

/** Undefined for a tenant that has nothing of its own. */
function retentionOf({ retention, dead_letters }: ParsedTenant): RetentionConfig | undefined {
  const { age: ageMs, bytes: bytesMax, when_full: whenFull } = retention;
  const { age: deadLetterAgeMs } = dead_letters;
  const own = { ageMs, bytesMax, deadLetterAgeMs, whenFull };
  return Object.values(own).every((value) => value === undefined) ? undefined : own;
}

function quotaOf(quota: ParsedQuota): QuotaConfig {
  const { events_per_second: events, bytes_per_second: bytes } = quota;
  return {
    events: events === undefined ? undefined : { perSecond: events, burst: quota.burst ?? events },
    bytes: bytes === undefined ? undefined : { perSecond: bytes, burst: quota.bytes_burst ?? bytes },
    requestsInFlight: quota.requests,
    eventBytesMax: quota.event_bytes_max,
    batchEventsMax: quota.batch_events_max,
    backlogEvents: quota.backlog_events,
    backlogBytes: quota.backlog_bytes,
  };
}

/** Built-in plugins are trusted, all others kept apart, unless the file says otherwise. */
function useOf(
  { isolation, memory, deadline }: Pick<ParsedSink, "isolation" | "memory" | "deadline">,
  plugin: ResolvedPlugin,
): PluginUse {
  const mode = isolation ?? (plugin.module === undefined ? "none" : "process");
  if (mode === "none") return plugin;
  return { ...plugin, isolation: { mode, memoryBytes: memory, deadlineMs: deadline } };
}

function sinkOf(sink: ParsedSink, path: Path, pluginAt: DraftOptions["pluginAt"]): SinkUse {
  const plugin = pluginAt(path);
  return {
    id: sink.id ?? plugin.name,
    ...useOf(sink, plugin),
    route: routeOf(sink),
    transforms: sink.transform.map((use, own) => useOf(use, pluginAt([...path, "transform", own]))),
    retry: {
      attempts: sink.retry.attempts,
      backoffMinMs: sink.retry.backoff.minMs,
      backoffMaxMs: sink.retry.backoff.maxMs,
      timeoutMs: sink.retry.timeout,
    },
    batch: { eventsMax: sink.batch.events_max, bytesMax: sink.batch.bytes_max, lingerMs: sink.batch.linger },
    windowEvents: sink.window_events,
    inFlightMax: sink.in_flight_max,
    ordering: sink.ordering,
    backlog: sink.backlog,
  };
}

/** Names of process settings that differ, e.g. `http.port`: what a reload can't change. */
export function changedSettings(before: ProcessSettings, after: ProcessSettings): string[] {
  const flat = (settings: ProcessSettings): Map<string, unknown> =>
    new Map(
      Object.entries(settings).flatMap(([name, value]) =>
        typeof value === "object"
          ? Object.entries(value).map(([key, inner]): [string, unknown] => [`${name}.${key}`, inner])
          : [[name, value] as [string, unknown]],
      ),
    );
  const now = flat(after);
  now.delete("ops.tokens");
  const was = flat(before);
  was.delete("ops.tokens");
  return [...was]
    .filter(([name, value]) => JSON.stringify(now.get(name)) !== JSON.stringify(value))
    .map(([name]) => name);
}
