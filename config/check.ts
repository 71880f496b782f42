import { formatPath, valueAt } from "./problems.ts";
import type { Problem } from "./problems.ts";
import type { ValidatedPlugins } from "./plugins.ts";
import type { Path, Source } from "./source.ts";

export interface CheckOptions {
  readonly value: unknown;
  readonly source: Source;
  readonly mode: "dev" | "production";
  readonly plugins: Pick<ValidatedPlugins, "factsAt">;
}

/** What a schema of single values can't see: things that must be unique, and keys that are fit for use. */
export function checkMeaning(options: CheckOptions): Problem[] {
  const problems: Problem[] = [];
  const report = (path: Path, message: string, hint: string): void => {
    const place = options.source.placeOf(path);
    problems.push({ file: options.source.file, ...place, message: `${formatPath(path)}: ${message}`, hint });
  };
  const tenants = listAt(options.value, ["tenants"]);
  unique(tenants, report, { what: "tenant", key: "id", hint: "each tenant needs an id of its own" });
  for (const { path } of tenants) {
    const keys = listAt(options.value, [...path, "keys"]);
    unique(keys, report, { what: "key", key: "id", hint: "each key of a tenant needs an id of its own" });
    for (const key of keys) checkKey(key, options.mode, report);
    checkSinks(listAt(options.value, [...path, "plugins", "sinks"]), report, options.plugins);
  }
  if (valueAt(options.value, ["log", "driver"]) === "redis") checkRedis(valueAt(options.value, ["log"]), report);
  const tokens = listAt(options.value, ["ops", "tokens"]);
  unique(tokens, report, { what: "token", key: "id", hint: "each token needs an id of its own" });
  const known = tenants.map(({ value }) => valueAt(value, ["id"]));
  for (const token of tokens) checkToken(token, { mode: options.mode, tenants: known }, report);
  const allKeys = tenants.flatMap(({ path }) => listAt(options.value, [...path, "keys"]));
  const hint = "one key can't speak for two; make another with `pulsegate keys create`";
  unique(allKeys, report, { what: "key", key: "sha256", hint });
  unique(allKeys, report, { what: "key", key: "key", hint });
  return problems;
}

function checkRedis(log: unknown, report: Report): void {
  if (valueAt(log, ["url"]) === undefined)
    report(["log", "driver"], "the driver redis needs to know where Redis is", "add log.url: redis://host:6379");
  if (valueAt(log, ["disk_bytes_max"]) !== undefined)
    report(
      ["log", "disk_bytes_max"],
      "bounds the files of the embedded log; Redis bounds its memory itself",
      "take it out, set `maxmemory` and `maxmemory-policy noeviction` in Redis, and bound tenants by log.retention_bytes",
    );
}

interface Item {
  readonly path: Path;
  readonly value: unknown;
}

type Report = (path: Path, message: string, hint: string) => void;

function listAt(root: unknown, path: Path): Item[] {
  const list = valueAt(root, path);
  if (!Array.isArray(list)) return [];
  return list.map((value: unknown, index) => ({ path: [...path, index], value }));
}

function unique(items: readonly Item[], report: Report, by: { what: string; key: string; hint: string }): void {
  const seen = new Map<string, Path>();
  for (const { path, value } of items) {
    const text = valueAt(value, [by.key]);
    if (typeof text !== "string") continue;
    const canonical = by.key === "sha256" ? text.toLowerCase() : text;
    const first = seen.get(canonical);
    if (first === undefined) seen.set(canonical, path);
    else report([...path, by.key], `the same ${by.what} ${by.key} as ${formatPath(first)}`, by.hint);
  }
}

function checkKey({ path, value }: Item, mode: CheckOptions["mode"], report: Report): void {
  const plain = valueAt(value, ["key"]);
  const sha256 = valueAt(value, ["sha256"]);
  if (plain !== undefined && mode !== "dev") {
    const hint = "put its sha256 there: `pulsegate keys create` makes a key and prints the line";
    report([...path, "key"], "a key in plain text is for `pulsegate dev` only", hint);
  } else if (plain !== undefined && sha256 !== undefined) {
    report(path, '"key" and "sha256" say the same thing', "keep one of them");
  } else if (plain === undefined && sha256 === undefined && value !== null && typeof value === "object") {
    report(path, '"sha256" is missing', "`pulsegate keys create` makes a key and prints the line");
  }
}

function checkToken(
  { path, value }: Item,
  { mode, tenants }: { readonly mode: CheckOptions["mode"]; readonly tenants: readonly unknown[] },
  report: Report,
): void {
  const plain = valueAt(value, ["token"]);
  const sha256 = valueAt(value, ["sha256"]);
  const tenant = valueAt(value, ["tenant"]);
  if (plain !== undefined && mode !== "dev") {
    const hint = "put its sha256 there: `printf %s TOKEN | sha256sum`";
    report([...path, "token"], "a token in plain text is for `pulsegate dev` only", hint);
  } else if (plain !== undefined && sha256 !== undefined) {
    report(path, '"token" and "sha256" say the same thing', "keep one of them");
  } else if (plain === undefined && sha256 === undefined && value !== null && typeof value === "object") {
    report(path, '"sha256" is missing', "`openssl rand -base64 32` makes a good token, `sha256sum` its hash");
  }
  if (tenant !== undefined && !tenants.includes(tenant)) {
    report([...path, "tenant"], `there is no tenant ${JSON.stringify(tenant)}`, "name one of `tenants:`");
  }
}

function checkSinks(sinks: readonly Item[], report: Report, { factsAt }: CheckOptions["plugins"]): void {
  const seen = new Map<string, Path>();
  for (const { path, value } of sinks) {
    const own = valueAt(value, ["id"]);
    const id = own ?? factsAt(path)?.name ?? valueAt(value, ["name"]);
    if (typeof id !== "string") continue;
    const first = seen.get(id);
    if (first === undefined) seen.set(id, path);
    else {
      const hint =
        own === undefined ? "give it an `id:` of its own, which names its lane" : "each sink needs an id of its own";
      report(own === undefined ? path : [...path, "id"], `the same sink id "${id}" as ${formatPath(first)}`, hint);
    }
  }
}
