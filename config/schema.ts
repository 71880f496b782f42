import { z } from "zod";
import { NAME_PATTERN } from "../core/canonical/event.ts";
import { orderingKeys } from "./ordering.ts";
import { Quota } from "./quota.ts";
import { routeKeys } from "./routing.ts";
import { bytes, bytesPerSecond, duration, durationRange } from "./units.ts";

/**
 * The one schema of the configuration file: parsing, defaults, `config explain`, the JSON Schema for
 * editors and docs/reference/config.md all come from it. Keys are as in the file (snake_case, units
 * in the values); revision.ts turns the parsed form into a Revision.
 */

/** Lane and key names: they stand in file names, labels and positions. */
const PART_PATTERN = /^[A-Za-z0-9_.-]{1,64}$/;
const SHA256_PATTERN = /^[0-9a-fA-F]{64}$/;

const port = () => z.int("expected a port number").min(0).max(65_535);
const host = () => z.string().min(1);
const count = (min: number, max: number) => z.int("expected a whole number").min(min).max(max);

const Key = z.strictObject({
  id: z
    .string()
    .regex(PART_PATTERN, "expected 1 to 64 letters, digits, _ . or -")
    .describe("Names the key in logs and lists; unique within the tenant."),
  sha256: z
    .string()
    .regex(SHA256_PATTERN, "expected the key's SHA-256 as 64 hexadecimal digits; `pulsegate keys create` prints it")
    .optional()
    .describe("SHA-256 of the key's text, hexadecimal. `pulsegate keys create` makes a key and prints this line."),
  key: z
    .string()
    .min(1)
    .optional()
    .meta({ secret: true })
    .describe("The key in plain text. For `pulsegate dev` only; refused elsewhere."),
});

const PluginConfig = z.record(z.string(), z.unknown(), "expected a mapping of the plugin's options");

/** How a plugin is kept from harming others. */
const isolationKeys = {
  isolation: z
    .enum(["none", "worker", "process"])
    .optional()
    .describe(
      "Where the plugin's code runs: in the worker's own thread, in a thread of its own, or in a process of its own. Without it: `none` for built-in plugins, `process` for all others.",
    ),
  memory: bytes({ min: "32MiB", max: "64GiB" })
    .prefault("256MiB")
    .describe(
      "Most memory that an isolated plugin may take beside the runtime's own: beyond it, it is killed and started again. A `worker` is held to it in JavaScript's heap alone.",
    ),
  deadline: duration({ min: "10ms", max: "1h" })
    .prefault("1s")
    .describe(
      "An isolated transform may work on one event for so long, and an isolated sink be unresponsive for so long: beyond it, it is killed and started again.",
    ),
};

const Transform = z.strictObject({
  name: z
    .string()
    .min(1)
    .describe(
      "A transform: a built-in one (`pulsegate plugins list`), a file (`./plugins/mine.ts`) or an npm package.",
    ),
  ...isolationKeys,
  config: PluginConfig.optional().describe("The plugin's own options: docs/reference/plugins.md."),
});

const Retry = z.strictObject({
  attempts: count(1, 1_000)
    .prefault(10)
    .describe("Tries in all before an event that fails while its neighbours pass becomes a dead letter."),
  backoff: durationRange({ min: "1ms", max: "1h" })
    .prefault("200ms..1m")
    .describe("Shortest and longest pause between two tries; each is drawn at random from zero up to a growing limit."),
  timeout: duration({ min: "10ms", max: "1h" })
    .prefault("30s")
    .describe("One delivery call is cancelled after so long."),
});

const Batch = z.strictObject({
  events_max: count(1, 100_000).prefault(1_000).describe("Most events in one delivery."),
  bytes_max: bytes({ min: "1KiB", max: "1GiB" }).prefault("4MiB").describe("Most bytes of events in one delivery."),
  linger: duration({ min: "0ms", max: "10s" })
    .prefault("10ms")
    .describe(
      "Between the starts of two deliveries that are not full: how long a busy lane gathers. An idle one delivers at once.",
    ),
});

const Sink = z.strictObject({
  name: z
    .string()
    .min(1)
    .describe("A sink: a built-in one (`pulsegate plugins list`), a file (`./plugins/mine.ts`) or an npm package."),
  id: z
    .string()
    .regex(PART_PATTERN, "expected 1 to 64 letters, digits, _ . or -")
    .optional()
    .describe("Names the lane; unique within the tenant. Defaults to the plugin's name. A new id starts a new lane."),
  ...routeKeys,
  ...orderingKeys,
  transform: z
    .array(Transform)
    .prefault([])
    .describe("Applied for this sink alone, after the tenant's own transforms, to the events that the sink gets."),
  retry: Retry.prefault({}).describe("What happens to events that the sink did not take."),
  batch: Batch.prefault({}).describe("How much one delivery may hold."),
  window_events: count(1, 1_000_000)
    .prefault(10_000)
    .describe("Events read ahead of the lane's cursor that may be unsettled at one time."),
  in_flight_max: count(1, 256)
    .prefault(16)
    .describe(
      "Deliveries to this sink at one time in a worker: each partition has at most one. How many it really takes is found by trying.",
    ),
  backlog: z
    .enum(["refuse", "ignore"])
    .prefault("refuse")
    .describe(
      "Whether this lane's backlog counts for the tenant's `quota.backlog_events`: `ignore` lets an optional sink be down without closing the door.",
    ),
  ...isolationKeys,
  config: PluginConfig.optional().describe("The plugin's own options: docs/reference/plugins.md."),
});

const Plugins = z.strictObject({
  transform: z.array(Transform).prefault([]).describe("Applied to each event, in this order, before each sink."),
  sinks: z
    .array(Sink)
    .prefault([])
    .describe("Where events go, each sink in a lane of its own. A sink gets every event unless it says which."),
});

const WhenFull = z.enum(["refuse", "drop_oldest"]);

const DeadLetters = z.strictObject({
  age: duration({ min: "1m", max: "3650d" })
    .optional()
    .describe("A dead letter that failed so long ago is discarded, as `expired`. Without it, none is."),
});

/** Of one tenant; what is absent is as `log` has it. */
const Retention = z.strictObject({
  age: duration({ min: "1m", max: "3650d" }).optional().describe("As `log.retention`."),
  bytes: bytes({ min: "1MiB", max: "1024TiB" }).optional().describe("As `log.retention_bytes`."),
  when_full: WhenFull.optional().describe("As `log.when_full`."),
});

const Tenant = z.strictObject({
  id: z
    .string()
    .regex(NAME_PATTERN, "expected 1 to 128 letters, digits, _ . : or -")
    .describe("Names the tenant everywhere; unique."),
  keys: z.array(Key).prefault([]).describe("API keys that speak for this tenant."),
  partitions: count(1, 64)
    .prefault(1)
    .describe("Streams that the tenant's events are spread over, by event id. Order holds within one."),
  weight: count(1, 1_000)
    .prefault(1)
    .describe("Share of the front door relative to other tenants when it is full; it does not limit anyone before."),
  quota: Quota.optional().describe("What the tenant may send; without it, `limits` alone. Over it: 429."),
  retention: Retention.prefault({}).describe("How much of the tenant's events is kept, and how long."),
  dead_letters: DeadLetters.prefault({}).describe("As `log.dead_letters`, for this tenant."),
  plugins: Plugins.prefault({}).describe("What happens to the tenant's events."),
});

/** How the log is kept in Redis; without effect for the embedded log. */
const redisKeys = {
  url: z
    .string()
    .regex(
      /^rediss?(\+sentinel|\+cluster)?:\/\/[^\s]+$/,
      "expected redis://host:port, rediss://…, redis+sentinel://host:port,…/NAME, or redis+cluster://host:port,…",
    )
    .optional()
    .meta({ secret: true })
    .describe(
      "Where Redis is: `redis://user:password@host:6379/0`, `rediss://` for TLS, `redis+sentinel://host:26379,host:26379/NAME` for the primary that sentinels know as NAME, `redis+cluster://host:6379,host:6379` for a cluster (some of its nodes); `rediss+…` for TLS. Required with `driver: redis`.",
    ),
  username: z.string().min(1).optional().describe("ACL user of Redis, where the URL does not name it."),
  password: z
    .string()
    .min(1)
    .optional()
    .meta({ secret: true })
    .describe("Password of Redis, where it shall not stand in the URL."),
  sentinel_password: z.string().min(1).optional().meta({ secret: true }).describe("Password of the sentinels."),
  tls_ca: z
    .string()
    .min(1)
    .optional()
    .describe("Certificates (PEM) of the authorities that Redis's own is checked against; without it the system's."),
  tls_cert: z.string().min(1).optional().describe("Client certificate (PEM), where Redis asks for one."),
  tls_key: z.string().min(1).optional().meta({ secret: true }).describe("Key (PEM) of the client certificate."),
  prefix: z
    .string()
    .regex(/^[A-Za-z0-9_.-]{1,32}$/, "expected 1 to 32 letters, digits, _ . or -")
    .prefault("pg")
    .describe(
      "First part of all keys and channels in Redis: other programs, or another PulseGate, may share the server.",
    ),
  durability: z
    .enum(["strict", "relaxed"])
    .prefault("strict")
    .describe(
      "`strict`: PulseGate takes no event while Redis has settings with which it could lose it (append-only file, sync, eviction, role). `relaxed`: it does, and says so in its log, on /readyz and in each acknowledgement.",
    ),
  replicas: count(0, 5)
    .prefault(0)
    .describe(
      "How many replicas of Redis must have an event before it is acknowledged. With `strict` durability it must be at least 1 where a primary has replicas: one that takes its place may otherwise lack what was acknowledged.",
    ),
  compression: z
    .enum(["none", "zstd"])
    .prefault("none")
    .describe(
      "Whether events from 4 KiB on are compressed in Redis: about a quarter of the memory, for time of the door.",
    ),
  lease: duration({ min: "1s", max: "10m" })
    .prefault("10s")
    .describe("How long the lanes of a worker that is gone wait before another takes them over."),
};

const Log = z.strictObject({
  driver: z
    .enum(["embedded", "redis"])
    .prefault("embedded")
    .describe(
      "Where accepted events are kept: `embedded` is a folder of this machine and belongs to one process; `redis` is Redis 7.0 or newer (or a server like it), which any number of processes share.",
    ),
  path: z
    .string()
    .min(1)
    .prefault("./data")
    .describe(
      "The data folder; relative paths start at the configuration file's folder. One process owns it. With `redis` it holds only which events were with a plugin when a process died.",
    ),
  ...redisKeys,
  retention: duration({ min: "1m", max: "3650d" })
    .prefault("7d")
    .describe(
      "Events that every lane has settled are kept at least so long. What is not settled stays, whatever its age.",
    ),
  retention_bytes: bytes({ min: "1MiB", max: "1024TiB" })
    .optional()
    .describe(
      "Of each tenant's events about so many bytes are kept, the newest, younger than `retention` or not. Without it age alone counts. With `redis` a stream's bytes are an estimate.",
    ),
  dead_letters: DeadLetters.prefault({}).describe("Dead letters have a retention of their own."),
  disk_bytes_max: bytes({ min: "1GiB", max: "1024TiB" })
    .optional()
    .describe(
      "What all files of the embedded log may take up. The last 128 MiB of it are kept for the log's own work; then `when_full` decides. Without it, the disk's size. Refused with `redis`, which bounds its memory itself (`maxmemory`).",
    ),
  when_full: WhenFull.prefault("refuse").describe(
    "What gives way when the storage is full: `refuse` takes no more events in (503 log_full) until there is room; `drop_oldest` lets the oldest events go, delivered or not, of the tenants that take up the most, and counts what was not delivered in the ledger. With `drop_oldest`, retention by bytes lets go of undelivered events, too.",
  ),
  dedup_window: duration({ min: "1m", max: "30d" })
    .prefault("24h")
    .describe("How long a repeated event_id or idempotency_key is recognised."),
  dedup_bytes_max: bytes({ min: "1MiB", max: "64GiB" })
    .prefault("64MiB")
    .describe("Memory for recognising repeats. When it is used up, the window shrinks and a metric shows it."),
});

const Http = z.strictObject({
  host: host().prefault("127.0.0.1").describe("Address to listen on; 0.0.0.0 for all."),
  port: port().prefault(8080).describe("Port for events; 0 takes a free one."),
  memory_bytes_max: bytes({ min: "64MiB", max: "1TiB" })
    .prefault("512MiB")
    .describe(
      "Memory that the front door plans with. An eighth of it is for requests under way: beyond that, tenants over their share are answered 503. As the process comes near the whole of it, less is let in at one time, down to a sixteenth of that. A process that delivers as well may take 256MiB more for each worker thread.",
    ),
});

const AdminToken = z.strictObject({
  id: z
    .string()
    .regex(PART_PATTERN, "expected 1 to 64 letters, digits, _ . or -")
    .describe("Names whoever holds the token, in the audit stream; unique."),
  role: z
    .enum(["viewer", "operator", "admin"])
    .describe(
      "`viewer` looks; `operator` also acts on lanes, dead letters and jobs; `admin` also on keys and configuration.",
    ),
  tenant: z
    .string()
    .regex(NAME_PATTERN, "expected 1 to 128 letters, digits, _ . : or -")
    .optional()
    .describe("The token is for this tenant alone. Without it, for all."),
  sha256: z
    .string()
    .regex(SHA256_PATTERN, "expected the token's SHA-256 as 64 hexadecimal digits: `printf %s TOKEN | sha256sum`")
    .optional()
    .describe("SHA-256 of the token's text, hexadecimal."),
  token: z
    .string()
    .min(16, "must have at least 16 characters")
    .optional()
    .meta({ secret: true })
    .describe("The token in plain text. For `pulsegate dev` only; refused elsewhere."),
});

const Ops = z.strictObject({
  host: host().prefault("127.0.0.1").describe("Address of health, metrics and the admin API."),
  port: port().prefault(8081).describe("Port of health, metrics and the admin API; 0 takes a free one."),
  admin_token: z
    .string()
    .min(16, "must have at least 16 characters: `openssl rand -base64 32` makes a good one")
    .optional()
    .meta({ secret: true })
    .describe("A bearer token of the admin API with all rights. With neither this nor `tokens` the admin API is off."),
  tokens: z.array(AdminToken).prefault([]).describe("Who may use the admin API. Takes effect on reload."),
});

const Limits = z.strictObject({
  event_bytes_max: bytes({ min: "1KiB", max: "16MiB" })
    .prefault("1MiB")
    .describe("Largest single event, after decompression."),
  batch_bytes_max: bytes({ min: "1KiB", max: "256MiB" })
    .prefault("10MiB")
    .describe("Largest batch request, after decompression."),
  batch_events_max: count(1, 100_000).prefault(10_000).describe("Most events in one batch request."),
  header_timeout: duration({ min: "100ms", max: "10m" })
    .prefault("10s")
    .describe("A request's headers must have come within this time."),
  body_timeout: duration({ min: "100ms", max: "1h" })
    .prefault("30s")
    .describe("A request must have come whole within this time."),
  keep_alive_timeout: duration({ min: "100ms", max: "1h" })
    .prefault("72s")
    .describe(
      "An idle connection is closed after this time. Longer than a load balancer's own, or it meets closed ones.",
    ),
  connections_max: count(1, 1_000_000).prefault(10_000).describe("Most open connections; further ones are refused."),
  connections_per_address_max: count(1, 1_000_000)
    .prefault(10_000)
    .describe(
      "Most open connections from one address. Behind a load balancer all come from its address; facing clients directly, a few hundred keep one of them from taking all.",
    ),
  body_rate_min: bytesPerSecond({ min: "0B", max: "1GiB" })
    .prefault("1KiB/s")
    .describe("A body that comes in slower than this over five seconds and more is answered 408; 0 for no minimum."),
});

const THREADS_ERROR = 'expected a whole number from 1 to 256, or "auto"';

const Workers = z.strictObject({
  threads: z
    .union([z.literal("auto"), z.int(THREADS_ERROR).min(1, THREADS_ERROR).max(256, THREADS_ERROR)], THREADS_ERROR)
    .prefault("auto")
    .describe("Threads that deliver events; `auto` leaves one core for ingest."),
});

const Logging = z.strictObject({
  level: z
    .enum(["debug", "info", "warn", "error"])
    .prefault("info")
    .describe("Least serious messages that are written."),
});

/** The whole file. */
export const ConfigSchema = z.strictObject({
  version: z.literal(1, "only version 1 is known").prefault(1).describe("Version of this file's form."),
  log: Log.prefault({}).describe("The durable ingestion log. Takes effect at start."),
  http: Http.prefault({}).describe("The HTTP front door. Takes effect at start."),
  ops: Ops.prefault({}).describe("The operations port. Takes effect at start."),
  workers: Workers.prefault({}).describe("Delivery. Takes effect at start."),
  logging: Logging.prefault({}).describe("PulseGate's own messages. Takes effect at start."),
  shutdown_grace: duration({ min: "100ms", max: "10m" })
    .prefault("10s")
    .describe(
      "After SIGTERM or Ctrl-C the process has ended within this time, whatever hangs: half of it is for requests under way, the rest for deliveries and for closing. Takes effect at start.",
    ),
  limits: Limits.prefault({}).describe("What one request may be. Takes effect on reload."),
  tenants: z.array(Tenant).prefault([]).describe("Who may send events, and where they go. Takes effect on reload."),
});

export type ParsedConfig = z.output<typeof ConfigSchema>;
